"""A real PgBouncer before a test's PostgreSQL."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from devtools.redis_server import free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
MISSING = "there is no pgbouncer: apt-get install pgbouncer"
SECONDS = 60


class PgBouncer:
    """A running PgBouncer.

    Attributes:
        url: SQLAlchemy URL of the server's database behind it.
    """

    def __init__(self, folder: Path, postgresql_url: str, options: dict[str, str]) -> None:
        server, self.port = make_url(postgresql_url), free_port()
        host = server.host or server.query["host"]
        target = f"host={host} port={server.port or 5432} user={server.username or 'postgres'}"
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "server_round_robin": "1",  # so that one transaction's connection is not the next one's
            **options,
        }
        lines = ["[databases]", f"* = {target}", "[pgbouncer]", *(f"{name} = {to}" for name, to in settings.items())]
        self._file = folder / "pgbouncer.ini"
        self._file.write_text("\n".join(lines) + "\n")
        self._log = folder / "pgbouncer.log"
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{server.database}"
        self._owner = Path(str(host)).stat().st_uid if str(host).startswith("/") else 0

    def start(self) -> None:
        """Start it, as the user who owns the server's socket: it refuses to run as root."""
        assert PROGRAM
        words = [PROGRAM, str(self._file)]
        if os.getuid() == 0:
            name = pwd.getpwuid(self._owner).pw_name if self._owner else "nobody"
            words[1:1] = ["-u", name]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 2).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"pgbouncer does not listen: {self.log[-2000:]}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, with its connections."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @property
    def log(self) -> str:
        """What it logged."""
        return self._log.read_text()


@contextmanager
def pgbouncer(folder: Path, postgresql_url: str, **options: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer with these settings until the block ends."""
    running = PgBouncer(folder, postgresql_url, options)
    running.start()
    try:
        yield running
    finally:
        running.stop()
