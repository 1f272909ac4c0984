"""An incident from alert to end: real processes, a real terminal, and an operator's commands."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import text

from devtools import processes
from devtools.redis_server import free_port, redis_server
from devtools.send import mix, samples
from devtools.send.client import Sender
from devtools.send.load import LoadRun
from models.account import DEFAULT
from models.delivery import delivery_id
from operations.replay.throttle import Throttle
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.console import platform_hook
from tests.console.tmux import Tmux, tmux
from tests.faults.received_messages import ReceivedMessages
from tests.faults.sinks import SECRET, platform
from tests.raw_sql import sql
from tests.waiting import wait_until
from tests.worker.alert_receiver import AlertReceiver, alert_receiver

HEALTHY, BROKEN = 40, 200
GOOD, BAD = '"sample-type"', '"sample_type"'
"""The platform's new version misspells the name of a meeting type."""

Body = dict[str, Any]


@dataclass
class Incident:
    """The parts of an incident.

    Attributes:
        folder: working directory of the processes, with the platform's hook.
        database: their database.
        sender: posts to the receiver, as meetergo does.
        terminal: the operator's terminal.
        operator_channel: the operators' channel.
        receptions: what the platform received.
        bodies: what was delivered.
        booking: the id of a booking made before the incident and moved during it.
    """

    folder: Path
    database: Database
    sender: Sender
    terminal: Tmux
    operator_channel: AlertReceiver
    received_messages: ReceivedMessages
    bodies: list[Body] = field(default_factory=list)
    booking: str = ""

    def deliver(self, bodies: Sequence[Body]) -> None:
        """Deliver over real HTTP, on several connections."""
        self.bodies += bodies
        raw = [json.dumps(body).encode() for body in bodies]
        with self.sender.open_connections(4) as send:
            result = LoadRun(send, Throttle(None, Event().wait), Event(), lambda _count: None).run(raw, 4)
        assert result.is_good, result

    def count(self, status: str) -> int:
        """Return the number of deliveries with a status."""
        with self.database.read_only() as session:
            return session.scalar(
                sql(session, "SELECT count(*) FROM deliveries WHERE status = :status"), {"status": status}
            )

    def deploy(self, name: str, name_now: str) -> None:
        """Replace a text in the platform's hook."""
        hook = self.folder / "platform_hook.py"
        hook.write_text(hook.read_text().replace(name, name_now))

    def start_worker(self) -> None:
        self.terminal.type("worker", "python -m worker")
        self.terminal.wait("worker", lambda shown: "worker.started" in shown)

    def restart_worker(self) -> None:
        """Restart the worker, as an operator who has it in a window."""
        self.terminal.interrupt("worker")
        self.terminal.clear("worker")
        self.start_worker()


@dataclass(frozen=True)
class Step:
    """One step: the screen after the operator's command, or the text that the operators' channel received."""

    name: str
    screen: str


def run_incident(incident_run: Incident) -> Iterator[Step]:
    """Run the incident; yield each step when it is done."""

    def step(name: str, words: str, answers: dict[str, str] | None = None) -> Step:
        return Step(name, incident_run.terminal.run(f"bin/inbox {words}", answers))

    rng, now = Random(1), datetime.now(UTC)
    incident_run.booking = mix.booking_id("before", 0)
    start = (now + timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)
    incident_run.deliver([samples.created(incident_run.booking, start, now - timedelta(hours=1))])
    incident_run.deliver(_unpacked(mix.mix("healthy", HEALTHY - 1, now - timedelta(minutes=30), rng)))
    wait_until(lambda: incident_run.count("done") == HEALTHY)
    yield step("healthy", "status")

    incident_run.deploy(GOOD, BAD)
    incident_run.restart_worker()
    moved = samples.rescheduled(incident_run.booking, start + timedelta(hours=5), now, start)
    incident_run.deliver([moved, *_unpacked(mix.mix("broken", BROKEN - 1, now, rng))])
    wait_until(lambda: incident_run.count("dead") == BROKEN)
    wait_until(lambda: incident_run.operator_channel.received)
    yield Step("alarm", "\n".join(incident_run.operator_channel.received[0]))

    yield step("status", "status; echo exit code $?")
    yield step("list", "deliveries list --status dead --limit 5")
    yield step("errors", "deliveries errors")
    yield step("show", f"deliveries show {delivery_id(json.dumps(moved).encode(), DEFAULT)[:12]}")
    yield step("booking", f"bookings show {incident_run.booking}")
    yield step("tail", "events tail --no-follow")
    yield step("dry_run", "replay --dead --dry-run")

    repair = f"sed -i 's/{BAD}/{GOOD}/' platform_hook.py"
    yield Step("repair", incident_run.terminal.run(repair))
    incident_run.restart_worker()
    yield step("repaired", "replay --dead --dry-run")
    replay = "replay --dead --reason 'the meeting type has its room again' --rate 100/s --wait"
    yield step("replay", replay, {"Replay 200 deliveries?": "y"})
    wait_until(lambda: len(incident_run.operator_channel.received) == 2)
    yield Step("over", "\n".join(incident_run.operator_channel.received[1]))
    yield step("resolved", "status; echo exit code $?")
    yield step("timeline", f"bookings show {incident_run.booking}")


@contextmanager
def incident(schedule: str | None = None) -> Iterator[Incident]:
    """Start all processes in a folder of their own, the worker in a window of the terminal.

    Args:
        schedule: command that replaces the Procfile's cron.
    """
    with (
        _folder() as folder,
        redis_server(folder / "redis") as redis_url,
        alert_receiver() as operator_channel,
        platform(received_messages := ReceivedMessages()) as sink,
    ):
        shutil.copy(platform_hook.__file__, folder / "platform_hook.py")
        (folder / "bin").mkdir()
        shutil.copy(processes.ROOT / "bin" / "inbox", folder / "bin")
        keys, port = secrets.token_urlsafe(32), free_port()
        database_url = f"sqlite:///{folder / 'inbox.db'}"
        env = processes.environment(
            {
                "PYTHONPATH": f"{processes.ROOT}:{folder}",
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "WEBHOOK_KEYS": keys,
                "BODY_KEYS": Fernet.generate_key().decode(),
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "PLATFORM_HOOK": "platform_hook:changed",
                "ALERT_CHANNELS": operator_channel.url,
                "NOTIFY_DEFAULT": sink.url,
                "NOTIFY_SIGNING_SECRET": SECRET,
                "LOGNAME": "the-operator",
                "METRICS_PORT": "",
            }
        )
        for name in ("NO_COLOR", "COLUMNS", "LINES", "TMUX", "PROMPT_COMMAND"):
            env.pop(name, None)
        processes.run_release(env, folder)
        database = Database(database_url)
        with database.transaction() as session:
            session.execute(text("CREATE TABLE rooms (booking_id TEXT PRIMARY KEY, room TEXT)"))
        instead = {"cron": schedule} if schedule else {}
        with processes.processes(env, folder, ["web", "cron"], instead) as logs, tmux(folder, env) as terminal:
            processes.wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
            address = f"http://127.0.0.1:{port}{AddressSigner([keys]).path('default')}"
            incident_run = Incident(folder, database, Sender(address), terminal, operator_channel, received_messages)
            terminal.open("worker")
            incident_run.start_worker()
            yield incident_run
            terminal.interrupt("worker")
        database.close()


def expected(bodies: Sequence[Body]) -> dict[str, tuple[str, datetime, int]]:
    """Return booking -> status, start and number of guests, according to the newest delivery."""
    found: dict[str, Body] = {}
    for body in bodies:
        says = body["data"]["rescheduledAppointment"] if "event" in body else body
        if says["id"] not in found or found[says["id"]]["updatedAt"] < says["updatedAt"]:
            found[says["id"]] = says
    return {
        key: (
            "cancelled" if says["isCancelled"] else "confirmed",
            datetime.fromisoformat(says["start"]),
            len(says["attendees"]),
        )
        for key, says in found.items()
    }


def _unpacked(bodies: Sequence[bytes]) -> list[Body]:
    return [json.loads(body) for body in bodies]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="inbox-incident-", ignore_cleanup_errors=True) as name:
        yield Path(name)
