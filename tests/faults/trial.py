"""A trial: one fault on one database, from empty stores to the verdict."""

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from devtools.processes import environment, wait_until_ready
from devtools.redis_server import free_port
from devtools.send import samples
from models.migrate import migrate
from models.platform_user import PlatformUser
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.redis.client import DEFAULT_PREFIX
from runtime.signed_address import AddressSigner
from tests.faults import house, redis_server, sinks, verdict
from tests.faults.catalogue import Fault
from tests.faults.databases import Store
from tests.faults.death import ARMED
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.receptions import Receptions
from tests.faults.scene import Scene
from tests.faults.stories import as_posted, stories
from tests.faults.verdict import Verdict

BODY_KEY = "ZmF1bHRzIHNlYWwgdGhlIGJvZGllcyB0aGV5IHNlbmQ="
LOAD_LASTS = timedelta(seconds=10)
LONGEST_ANSWER = timedelta(seconds=5)


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        fault: what is broken.
        store: where.
        deliveries: how many come at least.
        random: seeded.
        folder: where the processes print.
    """

    fault: Fault
    store: Store
    deliveries: int
    random: Random
    folder: Path

    def run(self) -> Verdict:
        """Breaks it, waits until it is well again, and looks."""
        receptions = Receptions()
        with self._database() as database, ExitStack() as stack:
            scene = self._set(stack, receptions)
            scene.load.start(as_posted(self.random, scene.stories), LOAD_LASTS)
            try:
                self.fault.strike(scene)
            finally:
                over = time.monotonic()
                scene.load.finish()
            unrest = verdict.wait_for_rest(database, scene.ledger)
            rested = time.monotonic()
            stack.close()
            found = verdict.judge(
                database, BodyCipher([BODY_KEY]), scene.ledger, scene.stories, receptions, len(self.fault.channels)
            )
        found.recovered = None if unrest else rested - over
        found.promise(not unrest, unrest)
        self._judge_ways(found, scene, receptions)
        return found

    def _judge_ways(self, found: Verdict, scene: Scene, receptions: Receptions) -> None:
        """What this fault promises beyond the end."""
        within = self.fault.within.total_seconds()
        found.promise((found.recovered or 0) <= within, f"it took {found.recovered or 0:.0f} s, not {within:.0f}")
        found.promise(
            found.slowest <= LONGEST_ANSWER.total_seconds(), f"somebody waited {found.slowest:.1f} s for an answer"
        )
        found.promise(self.fault.refuses or not found.refused, f"{found.refused} were asked to come back")
        excused = scene.deaths + receptions.excused()
        found.promise(found.repeated <= excused, f"{found.repeated} news were sent twice, {excused} had an excuse")
        others = found.repeated - found.repeated_with_same_id
        found.promise(not others, f"{others} news were sent twice with different ids")
        found.promise(self.store.is_sound(), "the database is damaged")
        obstinate = scene.house.obstinate
        found.promise(not obstinate, f"did not stop when asked to: {', '.join(obstinate)}")
        found.promise(not scene.notes, "; ".join(scene.notes))

    def _set(self, stack: ExitStack, receptions: Receptions) -> Scene:
        redis = stack.enter_context(
            redis_server.running(
                self.folder / "redis", self.fault.redis, self.store.url if self.fault.own_prefix else None
            )
        )
        platform = stack.enter_context(sinks.platform(receptions))
        post_office = stack.enter_context(sinks.post_office(receptions))
        key, port, armed, ledger = secrets.token_urlsafe(32), free_port(), self.folder / "armed", Ledger()
        channels = {"post": platform.url, "mail": post_office.url}
        settings = {
            "DATABASE_URL": self.store.url,
            "REDIS_URL": redis.url,
            "REDIS_PREFIX": "" if self.fault.own_prefix else DEFAULT_PREFIX,
            "WEBHOOK_KEYS": key,
            "BODY_KEYS": BODY_KEY,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SMTP_URL": post_office.smtp_url,
            "MAIL_FROM": "bookings@platform.example",
            "NOTIFY_DEFAULT": ",".join(channels[name] for name in self.fault.channels),
            "NOTIFY_SIGNING_SECRET": sinks.SECRET,
            "PLATFORM_HOOK": self.fault.hook,
            ARMED: str(armed),
        }
        living = stack.enter_context(house.living(environment(settings), self.folder, self.fault.instead))
        wait_until_ready(f"http://127.0.0.1:{port}", living.log("web"))
        load = Load(f"127.0.0.1:{port}", AddressSigner([key]).path("default"), ledger)
        told = stories(self.random, self.deliveries)
        return Scene(self.random, self.store, redis, living, load, ledger, platform, post_office, armed, told)

    @contextmanager
    def _database(self) -> Iterator[Database]:
        """Migrated, and with the host of all samples: the platform user 1."""
        database = Database(self.store.url)
        migrate(database.engine)
        with database.transaction() as session:
            session.add(PlatformUser(external_id="1", meetergo_user_id=samples.HOST_ID, email="host@example.com"))
        try:
            yield database
        finally:
            database.close()


@contextmanager
def folder() -> Iterator[Path]:
    """For one run; PostgreSQL needs a short path, since its socket is in it."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        yield Path(name)
