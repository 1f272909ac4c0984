"""The service: our own processes as the Procfile starts them, on one database; and what is in that."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from benchmarks import load, machine, processor
from devtools import processes
from devtools.redis_server import free_port
from models.delivery import Delivery, NewDelivery, delivery_id
from runtime import queue
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.signed_address import AddressSigner

KEY = "a-key-of-the-benchmarks-" * 2
PATH = AddressSigner([KEY]).path("default")
CHANNEL = "log:"
CHUNK_SIZE = 5_000
LAST_LINES = 2_000
TIMEOUT_SECONDS = 300.0
POLL_INTERVAL_SECONDS = 0.02
PENDING_QUERY = "SELECT id FROM deliveries WHERE status = 'pending' ORDER BY due_at LIMIT 1"
"""In the order of an index: else PostgreSQL may read the whole table at each look, on the core that is measured."""


class MeasurementFailed(Exception):
    """A promise was broken while it was measured: the figure is worth nothing."""


@dataclass(frozen=True)
class Service:
    """Processes that run.

    Attributes:
        url: of their database.
        port: of the receiver.
        logs: name of a process -> what it printed.
        pids: of the processes that were started; they have children.
    """

    url: str
    port: int
    logs: Mapping[str, Path]
    pids: Sequence[int]

    def send(self, bodies: Sequence[bytes], lines: int, rate: float = 0.0) -> load.LoadMeasurement:
        """Sends deliveries to the receiver; all of them are taken.

        Raises:
            Lost: one was not.
        """
        measurement = load.send(self.port, load.requests(bodies, PATH), lines, rate)
        if measurement.statuses != {200: len(bodies)}:
            raise MeasurementFailed(f"not all were answered 200: {dict(measurement.statuses)}; {self.log_tail('web')}")
        return measurement

    def processor_seconds(self, reader: "DatabaseReader") -> float:
        """What its processes and what serves them in the database have taken of the processor until now."""
        pids = {one for pid in self.pids for one in machine.family(pid)}
        return processor.seconds([*pids, *reader.backend_pids()])

    def log_tail(self, name: str) -> str:
        """The end of what a process printed."""
        return f"{name} said: {self.logs[name].read_text()[-LAST_LINES:]}"


@contextmanager
def service(
    folder: Path,
    url: str,
    redis_url: str,
    names: Sequence[str] = processes.PROCESSES,
    overrides: Mapping[str, str] | None = None,
    **settings: str,
) -> Iterator[Service]:
    """Runs processes until the block ends, on the cores that are allowed now; the receiver is ready.

    Args:
        folder: where they print, in folders of their own.
        url: the database, migrated.
        redis_url: the queue.
        names: which processes.
        overrides: name -> command, for those that run another than the Procfile's.
        settings: more of them.
    """
    port = free_port()
    stores = {"DATABASE_URL": url, "REDIS_URL": redis_url}
    own = {"WEBHOOK_KEYS": KEY, "HOST": "127.0.0.1", "PORT": str(port), "NOTIFY_DEFAULT": CHANNEL}
    env = processes.environment({**stores, **own, **settings})
    before = {*machine.children(os.getpid())}
    with processes.processes(env, Path(mkdtemp(prefix="service-", dir=folder)), names, overrides) as logs:
        if "web" in names:
            processes.wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
        yield Service(url, port, logs, sorted({*machine.children(os.getpid())} - before))


class DatabaseReader:
    """A connection that only looks, cheaply: plain SQL, each statement by itself.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._placeholder = "?" if parsed.get_backend_name() == "sqlite" else "%s"
        self._raw: Any
        if parsed.get_backend_name() == "sqlite":
            self._raw = sqlite3.connect(str(parsed.database), isolation_level=None, check_same_thread=False)
        else:
            plain = url.replace("postgresql+psycopg://", "postgresql://")
            self._raw = psycopg.connect(plain, autocommit=True, prepare_threshold=1)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """What it answers; parameters are `?`."""
        found: list[Any] = self._raw.execute(query.replace("?", self._placeholder), parameters).fetchall()
        return found

    def number(self, query: str, parameters: Sequence[Any] = ()) -> int:
        """The only value of the only row."""
        return int(self.rows(query, parameters)[0][0])

    def pending(self, table: str = "deliveries") -> int:
        """How many wait."""
        return self.number(f"SELECT count(*) FROM {table} WHERE status = 'pending'")  # noqa: S608 - names of ours

    def backend_pids(self) -> list[int]:
        """The pids of the processes that serve others in this database; none on SQLite."""
        if self._placeholder == "?":
            return []
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.rows(f"SELECT pid FROM pg_stat_activity WHERE {ours}")]  # noqa: S608 - no input

    def close(self) -> None:
        """Ends it."""
        self._raw.close()


@contextmanager
def open_reader(url: str) -> Iterator[DatabaseReader]:
    """A look, until the block ends."""
    with closing(DatabaseReader(url)) as reader:
        yield reader


def insert_deliveries(url: str, bodies: Sequence[bytes]) -> None:
    """Deliveries as the door would have stored them one after the other, but in bulk; nobody is called."""
    database, cipher = Database(url), BodyCipher([])
    for start in range(0, len(bodies), CHUNK_SIZE):
        with database.core_transaction() as connection:
            some = bodies[start : start + CHUNK_SIZE]
            Delivery.accept(
                connection, [NewDelivery.from_body(body, "default", datetime.now(UTC), cipher) for body in some]
            )
    database.close()


def trigger_drain(redis_url: str) -> None:
    """Calls the back room."""
    with queue.connect(redis_url) as redis:
        JobQueue(redis).trigger_drain("inbox")


def wait_until_done(reader: DatabaseReader, service: Service) -> None:
    """Returns when nothing waits in the inbox.

    Raises:
        Lost: something waits for minutes, or died.
    """
    until = time.monotonic() + TIMEOUT_SECONDS
    while reader.rows(PENDING_QUERY):
        if time.monotonic() > until:
            raise MeasurementFailed(f"{reader.pending()} deliveries still wait; {service.log_tail('worker')}")
        time.sleep(POLL_INTERVAL_SECONDS)


def check(reader: DatabaseReader, bodies: Sequence[bytes]) -> None:
    """Each delivery is done, and each booking that it tells of is there.

    Raises:
        Lost: one is not.
    """
    for start in range(0, len(bodies), CHUNK_SIZE):
        ids = [delivery_id(body) for body in bodies[start : start + CHUNK_SIZE]]
        places = ", ".join("?" * len(ids))
        join = "LEFT JOIN bookings b ON b.id = d.booking_id"
        query = f"SELECT count(*) FROM deliveries d {join} WHERE d.status = 'done' AND b.id IS NOT NULL AND d.id IN "  # noqa: S608 - as above
        found = reader.number(f"{query} ({places})", ids)
        if found != len(ids):
            raise MeasurementFailed(f"of {len(ids)} deliveries only {found} are done with a booking")
