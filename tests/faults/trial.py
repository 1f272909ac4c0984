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
from devtools.sandbox.server import sandbox
from devtools.send import samples
from models.migrate import migrate
from models.platform_user import PlatformUser
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.redis.client import DEFAULT_PREFIX
from runtime.signed_address import AddressSigner
from tests.faults import redis_server, sinks, supervisor, verdict
from tests.faults.accounts import add_account
from tests.faults.catalogue import Fault
from tests.faults.context import FaultContext
from tests.faults.databases import Store
from tests.faults.load import Load
from tests.faults.received_messages import ReceivedMessages
from tests.faults.scenarios import as_posted, make_scenarios
from tests.faults.self_kill import ARMED
from tests.faults.sent_deliveries import SentDeliveries
from tests.faults.verdict import Verdict

BODY_KEY = "ZmF1bHRzIHNlYWwgdGhlIGJvZGllcyB0aGV5IHNlbmQ="
LOAD_LASTS = timedelta(seconds=10)
LONGEST_ANSWER = timedelta(seconds=5)


@dataclass(frozen=True)
class Trial:
    """The parameters of a trial.

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
        """Inject the fault, wait for recovery, and judge."""
        received_messages = ReceivedMessages()
        with self._database() as database, ExitStack() as stack:
            context = self._set(stack, received_messages, database)
            context.load.start(as_posted(self.random, context.scenarios), LOAD_LASTS)
            try:
                self.fault.inject(context)
            finally:
                over = time.monotonic()
                context.load.finish()
            pending = verdict.wait_until_idle(database, context.sent_deliveries)
            rested = time.monotonic()
            for check in context.when_idle:
                check()
            stack.close()
            found = verdict.judge(
                database,
                context.cipher,
                context.sent_deliveries,
                context.scenarios,
                received_messages,
                len(self.fault.channels),
            )
        found.recovered = None if pending else rested - over
        found.promise(not pending, pending)
        self._judge_ways(found, context, received_messages)
        return found

    def _judge_ways(self, found: Verdict, context: FaultContext, received_messages: ReceivedMessages) -> None:
        """Judge what this fault promises beyond the end state."""
        within = self.fault.within.total_seconds()
        found.promise((found.recovered or 0) <= within, f"it took {found.recovered or 0:.0f} s, not {within:.0f}")
        found.promise(
            found.slowest <= LONGEST_ANSWER.total_seconds(), f"the slowest response took {found.slowest:.1f} s"
        )
        found.promise(self.fault.refuses or not found.refused, f"{found.refused} were answered 503")
        # a worker that dies may have been sending one message to each destination
        excused = context.deaths * len(self.fault.channels) + received_messages.excused()
        found.promise(found.repeated <= excused, f"{found.repeated} messages were sent twice, {excused} may be")
        others = found.repeated - found.repeated_with_same_id
        found.promise(not others, f"{others} messages were sent twice with different ids")
        found.promise(self.store.is_sound(), "the database is damaged")
        had_to_kill = context.supervisor.had_to_kill
        found.promise(not had_to_kill, f"did not stop when asked to: {', '.join(had_to_kill)}")
        found.promise(not context.notes, "; ".join(context.notes))

    def _set(self, stack: ExitStack, received_messages: ReceivedMessages, database: Database) -> FaultContext:
        redis = stack.enter_context(
            redis_server.running(
                self.folder / "redis", self.fault.redis, self.store.url if self.fault.own_prefix else None
            )
        )
        platform = stack.enter_context(sinks.platform(received_messages))
        mail_sink = stack.enter_context(sinks.mail_sink(received_messages))
        key, port, armed, sent_deliveries = (
            secrets.token_urlsafe(32),
            free_port(),
            self.folder / "armed",
            SentDeliveries(),
        )
        channels = {"post": platform.url, "mail": mail_sink.url}
        meetergo = stack.enter_context(sandbox(companies=2)) if self.fault.has_provider else None
        cipher = BodyCipher([BODY_KEY])
        if self.fault.has_account:
            add_account(database, cipher, meetergo)
        settings = {
            "DATABASE_URL": self.store.url,
            "REDIS_URL": redis.url,
            "REDIS_PREFIX": "" if self.fault.own_prefix else DEFAULT_PREFIX,
            "WEBHOOK_KEYS": key,
            "BODY_KEYS": BODY_KEY,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SMTP_URL": mail_sink.smtp_url,
            "MAIL_FROM": "bookings@platform.example",
            "NOTIFY_DEFAULT": ",".join(channels[name] for name in self.fault.channels),
            "NOTIFY_SIGNING_SECRET": sinks.SECRET,
            "PLATFORM_HOOK": self.fault.hook,
            ARMED: str(armed),
        }
        if meetergo:
            settings |= {
                "MEETERGO_API_URL": meetergo.url,
                "MEETERGO_API_KEY": meetergo.key,
                "MEETERGO_API_PER_MINUTE": "100000",
                "CONFIRM": "cancels",
            }
        supervised = stack.enter_context(
            supervisor.supervised(environment(settings), self.folder, self.fault.overrides)
        )
        wait_until_ready(f"http://127.0.0.1:{port}", supervised.log("web"))
        path_of = AddressSigner([key]).path
        load = Load(f"127.0.0.1:{port}", path_of("default"), sent_deliveries)
        scenarios = make_scenarios(self.random, self.deliveries)
        return FaultContext(
            self.random,
            self.store,
            redis,
            supervised,
            load,
            sent_deliveries,
            platform,
            mail_sink,
            armed,
            scenarios,
            cipher,
            path_of,
            meetergo,
        )

    @contextmanager
    def _database(self) -> Iterator[Database]:
        """Migrate, and add the samples' host as platform user 1."""
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
    """A folder for one run; PostgreSQL needs a short path for its socket."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        yield Path(name)
