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
from pathlib import Path

from devtools.processes import ROOT, wait_until_ready
from devtools.redis_server import free_port
from models.migrate import migrate
from runtime.database import Database
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY

TIMEOUT_SECONDS = 60
MAX_BODY = 2000


@dataclass
class Process:
    """A receiver that runs, on an SQLite file."""

    popen: "subprocess.Popen[bytes]"
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

    def stop(self) -> int:
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
    database = Database(f"sqlite:///{folder / 'inbox.db'}")
    migrate(database.engine)
    database.close()
    port = free_port()
    stores = dict(DATABASE_URL=f"sqlite:///{folder / 'inbox.db'}", REDIS_URL=redis_url, PORT=str(port))
    keys = dict(WEBHOOK_KEYS=f"{OLD_KEY},{KEY}", WEBHOOK_MAX_BODY=str(MAX_BODY))
    env = environment(**(stores | keys | settings))
    log = folder / "receiver.log"
    with log.open("wb") as out:
        popen = subprocess.Popen([sys.executable, "-m", "receiver"], cwd=folder, env=env, stdout=out, stderr=out)
    process = Process(popen, port, folder)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", log)
        yield process
    finally:
        if popen.poll() is None:
            popen.terminate()
        popen.wait(TIMEOUT_SECONDS)
