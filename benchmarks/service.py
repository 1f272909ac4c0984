"""The service: our own processes as the Procfile starts them, on one database; and queries of it."""

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
from benchmarks.bodies import BODY_KEY, CIPHER
from benchmarks.running import plain
from devtools import processes
from devtools.redis_server import free_port
from models.account import DEFAULT
from models.delivery import Delivery, NewDelivery, delivery_id
from runtime.database import Database
from runtime.database_url import DEFAULT_SCHEMA
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue, QueueName
from runtime.redis.client import connect
from runtime.redis.installation import default_prefix
from runtime.signed_address import AddressSigner

KEY = "a-key-of-the-benchmarks-" * 2
PATH = AddressSigner([KEY]).path("default")
CHANNEL = "log:"
CHUNK_SIZE = 5_000
LAST_LINES = 2_000
TIMEOUT_SECONDS = 300.0
POLL_INTERVAL_SECONDS = 0.02
PENDING_QUERY = "SELECT id FROM deliveries WHERE status = 'pending' ORDER BY due_at LIMIT 1"
"""In the order of an index: otherwise PostgreSQL may scan the table at each poll, on the measured core."""


class MeasurementFailed(Exception):
    """A promise was broken during the measurement: the figure is worthless."""


@dataclass(frozen=True)
class Service:
    """Running processes.

    Attributes:
        url: of their database.
        host: where the receiver listens.
        port: of the receiver.
        logs: name of a process -> what it printed.
        pids: of the processes that were started; they have children.
    """

    url: str
    host: str
    port: int
    logs: Mapping[str, Path]
    pids: Sequence[int]

    def send(self, bodies: Sequence[bytes], lines: int, rate: float = 0.0) -> load.LoadMeasurement:
        """Send deliveries to the receiver; all of them must be accepted.

        Raises:
            Lost: one was not.
        """
        measurement = load.send([(self.host, self.port)], load.requests(bodies, PATH), lines, rate)
        if measurement.statuses != {200: len(bodies)}:
            raise MeasurementFailed(f"not all were answered 200: {dict(measurement.statuses)}; {self.log_tail('web')}")
        return measurement

    def processor_seconds(self, reader: "DatabaseReader") -> float:
        """Return the CPU time so far, including their database backends."""
        pids = {one for pid in self.pids for one in machine.family(pid)}
        return processor.seconds([*pids, *reader.backend_pids()])

    def log_tail(self, name: str) -> str:
        """Return the end of a process's output."""
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
    """Run processes until the block ends, on the currently allowed cores; wait for the receiver.

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
    keys = {"WEBHOOK_KEYS": KEY, "BODY_KEYS": BODY_KEY}
    own = {"HOST": "127.0.0.1", "PORT": str(port), "NOTIFY_DEFAULT": CHANNEL}
    env = processes.environment({**stores, **keys, **own, **settings})
    before = {*machine.children(os.getpid())}
    with processes.processes(
        env, Path(mkdtemp(prefix="service-", dir=folder)), names, overrides, are_forked=False
    ) as logs:
        if "web" in names:
            processes.wait_until_ready(f"http://{env['HOST']}:{port}", logs["web"])
        yield Service(url, env["HOST"], port, logs, sorted({*machine.children(os.getpid())} - before))


class DatabaseReader:
    """A cheap connection for polling: plain SQL, autocommit.

    Args:
        url: of the database.

    Attributes:
        url: the same.
    """

    def __init__(self, url: str) -> None:
        self.url, parsed = url, make_url(url)
        self._placeholder = "?" if parsed.get_backend_name() == "sqlite" else "%s"
        self._raw: Any
        if parsed.get_backend_name() == "sqlite":
            self._raw = sqlite3.connect(str(parsed.database), isolation_level=None, check_same_thread=False)
        else:
            self._raw = psycopg.connect(plain(url), autocommit=True, prepare_threshold=1)
            self._raw.execute(f"SET search_path TO {DEFAULT_SCHEMA}, public")  # earlier versions use the latter

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows; parameters are `?`."""
        found: list[Any] = self._raw.execute(query.replace("?", self._placeholder), parameters).fetchall()
        return found

    def number(self, query: str, parameters: Sequence[Any] = ()) -> int:
        """Return the only value of the only row."""
        return int(self.rows(query, parameters)[0][0])

    def pending(self, table: str = "deliveries") -> int:
        """Return the number of pending deliveries."""
        return self.number(f"SELECT count(*) FROM {table} WHERE status = 'pending'")  # noqa: S608 - names of ours

    def backend_pids(self) -> list[int]:
        """Return the pids of the backends of other connections in this database; none on SQLite."""
        if self._placeholder == "?":
            return []
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.rows(f"SELECT pid FROM pg_stat_activity WHERE {ours}")]  # noqa: S608 - no input

    def close(self) -> None:
        """Close it."""
        self._raw.close()


@contextmanager
def open_reader(url: str) -> Iterator[DatabaseReader]:
    """Open a reader until the block ends."""
    with closing(DatabaseReader(url)) as reader:
        yield reader


def insert_deliveries(url: str, bodies: Sequence[bytes], cipher: BodyCipher = CIPHER) -> None:
    """Store deliveries as the receiver would, but in bulk and without a trigger."""
    database = Database(url)
    for start in range(0, len(bodies), CHUNK_SIZE):
        with database.engine.begin() as connection:
            some = bodies[start : start + CHUNK_SIZE]
            Delivery.accept(
                connection, [NewDelivery.from_body(body, "default", datetime.now(UTC), cipher) for body in some]
            )
    database.close()


def trigger_drain(url: str, redis_url: str, queue_name: QueueName = "inbox") -> None:
    """Trigger the worker of the installation with this database."""
    with connect(redis_url, default_prefix(url)) as redis:
        JobQueue(redis).trigger_drain(queue_name)


def wait_until_done(reader: DatabaseReader, service: Service) -> None:
    """Wait until no delivery is pending.

    Raises:
        Lost: something waits for minutes, or died.
    """
    until = time.monotonic() + TIMEOUT_SECONDS
    while reader.rows(PENDING_QUERY):
        if time.monotonic() > until:
            raise MeasurementFailed(f"{reader.pending()} deliveries still wait; {service.log_tail('worker')}")
        time.sleep(POLL_INTERVAL_SECONDS)


def check(reader: DatabaseReader, bodies: Sequence[bytes]) -> None:
    """Check that each delivery is done and its booking exists.

    Raises:
        Lost: one is not.
    """
    for start in range(0, len(bodies), CHUNK_SIZE):
        ids = [delivery_id(body, DEFAULT) for body in bodies[start : start + CHUNK_SIZE]]
        places = ", ".join("?" * len(ids))
        join = "LEFT JOIN bookings b ON b.id = d.booking_id"
        query = f"SELECT count(*) FROM deliveries d {join} WHERE d.status = 'done' AND b.id IS NOT NULL AND d.id IN "  # noqa: S608 - as above
        found = reader.number(f"{query} ({places})", ids)
        if found != len(ids):
            raise MeasurementFailed(f"of {len(ids)} deliveries only {found} are done with a booking")
