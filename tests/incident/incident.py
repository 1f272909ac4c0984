"""An incident: the platform's hook is broken, 200 deliveries die, an operator finds out and makes it right.

`python -m tests.incident` plays it and writes what the screen showed into docs/operations.md.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from console.redis_server import free_port, redis_server
from console.stage import environment, processes, run_to_its_end, wait_until_ready
from models.booking import Booking, BookingChange
from models.database import Database
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from tests.incident.tmux import Screen, screen
from tests.worker.operators import Operators, operators

DELIVERIES = 200
BROKEN = '''"""The platform's function, as somebody deployed it this morning."""
from models.failures import Permanent


def changed(session, booking, change):
    raise Permanent("the table 'lawyers' has no column next_meeting")
'''
REPAIRED = BROKEN.replace(
    "    raise Permanent(\"the table 'lawyers' has no column next_meeting\")", "    pass  # the column is there again"
)


@dataclass
class House:
    """All that runs, and what was seen."""

    folder: Path
    env: dict[str, str]
    database: Database
    operators: Operators
    shown: list[tuple[str, str]] = field(default_factory=list)

    def count(self, status: str) -> int:
        with self.database.reading() as session:
            query = select(func.count()).select_from(Delivery).where(Delivery.status == status)
            return session.scalar(query) or 0

    def bookings(self) -> list[Booking]:
        with self.database.reading() as session:
            return list(session.scalars(select(Booking).order_by(Booking.id)))

    def rows(self, kind: type[BookingChange] | type[Notification]) -> list[BookingChange] | list[Notification]:
        with self.database.reading() as session:
            return list(session.scalars(select(kind)))


@contextmanager
def house(folder: Path) -> Iterator[House]:
    """Stores, an operators' channel and a platform with a broken hook; nothing works at them yet."""
    (folder / "platform_hook.py").write_text(BROKEN)
    with redis_server(folder / "redis") as redis_url, operators() as channel:
        port = free_port()
        settings = {
            "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": secrets.token_urlsafe(32),
            "PLATFORM_HOOK": "platform_hook:changed",
            "ALERT_CHANNELS": channel.url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
        env = environment(settings)
        env["PYTHONPATH"] = f"{env['PYTHONPATH']}{os.pathsep}{folder}"
        run_to_its_end("release", env, folder)
        database = Database(settings["DATABASE_URL"])
        with database.transaction() as session:
            session.add(PlatformUser(external_id="4711", meetergo_user_id="sample-host", name="The host"))
        yield House(folder, env, database, channel)
        database.close()


def play(folder: Path, name: str, until: Callable[[Callable[[], object]], None]) -> House:
    """The whole incident, from the first dead delivery to the end of the alarm."""
    with house(folder) as scene, processes(scene.env, folder, ["web", "cron"]) as logs:
        wait_until_ready(scene.env["PUBLIC_URL"], logs["web"])
        with screen(name, folder, _operators_environment(scene.env)) as terminal:
            with processes(scene.env, folder, ["worker"]):
                _type(scene, terminal, f"python -m console send booking_created --count {DELIVERIES}")
                until(lambda: scene.count("dead") == DELIVERIES)
                until(lambda: scene.operators.told)
                _look(scene, terminal)
            (folder / "platform_hook.py").write_text(REPAIRED)
            with processes(scene.env, folder, ["worker"]):
                _repair(scene, terminal)
                until(lambda: len(scene.operators.told) > 1)
        return scene


def _look(scene: House, terminal: Screen) -> None:
    _type(scene, terminal, 'python -m console status; echo "exit code $?"')
    _type(scene, terminal, "python -m console deliveries list --status dead --limit 3")
    _type(scene, terminal, "python -m console deliveries errors")
    _type(scene, terminal, f"python -m console deliveries show {_newest_dead(scene)} | head -20")


def _repair(scene: House, terminal: Screen) -> None:
    _type(scene, terminal, "python -m console replay --dead --dry-run | tail -12")
    _type(
        scene,
        terminal,
        'python -m console replay --dead --reason "the hook is repaired" --rate 100/s --wait',
        answers={"Replay": "y"},
    )
    _type(scene, terminal, 'python -m console status; echo "exit code $?"')
    _type(scene, terminal, f"python -m console bookings show {scene.bookings()[0].id}")


def _type(scene: House, terminal: Screen, command: str, answers: Mapping[str, str] | None = None) -> None:
    shown = terminal.types(command, answers=answers)
    scene.shown.append((f"{datetime.now(UTC):%H:%M:%S}", shown))


def _newest_dead(scene: House) -> str:
    with scene.database.reading() as session:
        newest = select(Delivery.id).where(Delivery.status == "dead").order_by(Delivery.received_at.desc())
        return str(session.scalars(newest).first())[:12]


def _operators_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What the shell of an operator has; nothing else of this process."""
    kept = ("PATH", "PYTHONPATH", "DATABASE_URL", "REDIS_URL", "WEBHOOK_KEYS", "PLATFORM_HOOK", "PORT", "PUBLIC_URL")
    return {**{name: env[name] for name in kept}, "LOGNAME": "operator", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
