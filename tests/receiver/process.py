"""A receiver process of its own, and a raw line to it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from devtools.forked import ROOT, ForkedProcess, program_of
from devtools.processes import wait_until_ready
from devtools.redis_server import free_port
from models.migrate import migrate
from runtime.database import Database
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY

TIMEOUT_SECONDS = 60
MAX_BODY = 2000


@dataclass
class Process:
    """A receiver that runs, on an SQLite file."""

    popen: "subprocess.Popen[bytes] | ForkedProcess"
    port: int
    folder: Path

    def stored(self) -> list[bytes]:
        with closing(sqlite3.connect(self.folder / "inbox.db")) as connection:
            return [body for (body,) in connection.execute("SELECT body FROM deliveries")]

    def printed(self) -> str:
        return (self.folder / "receiver.log").read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)

    def send_raw(self, *pieces: bytes, half_close: bool = False) -> bytes:
        """Send pieces, and read everything until the server closes."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server stopped reading: what did it answer?
            return read_all(connection)

    def stop(self) -> int | None:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(TIMEOUT_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def request(*headers: str, path: str = ADDRESS, method: str = "POST", last: bool = True) -> bytes:
    """The head of a request; the last one closes the line."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, *(["Connection: close"] if last else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def environment(**settings: str) -> dict[str, str]:
    """Only what is given, and what Python needs."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOST": "127.0.0.1", **settings}


@contextmanager
def receiver_process(folder: Path, redis_url: str, **settings: str) -> Iterator[Process]:
    (folder / "inbox.db").write_bytes(migrated_file())
    port = free_port()
    stores = dict(DATABASE_URL=f"sqlite:///{folder / 'inbox.db'}", REDIS_URL=redis_url, PORT=str(port))
    keys = dict(WEBHOOK_KEYS=f"{OLD_KEY},{KEY}", WEBHOOK_MAX_BODY=str(MAX_BODY))
    env = environment(**(stores | keys | settings))
    log = folder / "receiver.log"
    program = program_of("python -m receiver")
    assert program
    starts_itself_again = "MEETERGO_API_KEY" in env
    popen = _start_anew(env, folder, log) if starts_itself_again else ForkedProcess(program, folder, log, env)
    process = Process(popen, port, folder)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", log)
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.terminate()
        process.popen.wait(TIMEOUT_SECONDS)


def _start_anew(env: dict[str, str], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "receiver"], cwd=folder, env=env, stdout=out, stderr=out)


@cache
def migrated_file() -> bytes:
    """An empty SQLite database: migrations take longer than most tests."""
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/inbox.db")
        migrate(database.engine)
        database.close()
        return (Path(folder) / "inbox.db").read_bytes()
