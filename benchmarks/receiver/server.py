"""A server under test: its process on the server's core, and what it stored."""

import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, running
from benchmarks.bodies import BODY_KEY
from benchmarks.stores import Stores
from devtools.processes import ROOT
from devtools.redis_server import free_port
from runtime.signed_address import AddressSigner

APPS = Path(__file__).parent / "apps"
INTERPRETERS = {"": Path(sys.executable), "redis5": ROOT / "benchmarks" / ".venv-redis5" / "bin" / "python"}
"""Environment -> its Python. `node` is none."""
KEY = "a key of the benchmark's own that is long enough"
SECRET = "a secret of the benchmark's own"  # noqa: S105 - it guards nothing
ACCOUNT = "default"
PATH = AddressSigner([KEY]).path(ACCOUNT)
"""The signed address. Setups without addresses serve the path before it."""
TIMEOUT_SECONDS = 20.0


class ServerFailed(Exception):
    """A setup does not run, or lost something; the message says which, with the end of its output."""


@dataclass(frozen=True)
class Running:
    """A running server.

    Attributes:
        port: on this machine.
        log: what it prints.
    """

    port: int
    log: Path

    def log_tail(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-1500:]


@contextmanager
def serving(command: str, stores: Stores, env: Mapping[str, str], interpreter: str = "") -> Iterator[Running]:
    """Run a command on the server's core until the block ends.

    Args:
        command: its arguments, where `{port}` stands for the port.
        stores: their Redis is the server's; their folder takes the log.
        env: settings beside those that all servers have.
        interpreter: a key of `INTERPRETERS`, or `node`.

    Raises:
        Failed: it does not start.
    """
    port = free_port()
    server = Running(port, stores.folder / f"receiver-{port}.log")
    process = _start(command.format(port=port), server, _environment(stores, port, env), interpreter)
    try:
        _wait_for(process, server)
        yield server
    except (OSError, AssertionError) as error:
        raise ServerFailed(f"{command}: {error}: {server.log_tail()}") from error
    finally:
        running.end(process)


def _start(command: str, server: Running, env: Mapping[str, str], interpreter: str) -> "subprocess.Popen[bytes]":
    with machine.on(machine.SERVER), server.log.open("wb") as log:
        return subprocess.Popen(
            _command_line(command, interpreter), cwd=APPS, env=env, stdout=log, stderr=log, start_new_session=True
        )


def _command_line(command: str, interpreter: str) -> list[str]:
    if interpreter == "node":
        return running.node(command)
    python = INTERPRETERS[interpreter]
    if not python.exists():
        raise running.NotInstalled(f"skipped: {python.parent.parent.name} is missing; make bench-install")
    return [str(python), *shlex.split(command)]


def _environment(stores: Stores, port: int, env: Mapping[str, str]) -> dict[str, str]:
    """Return a clean environment: settings are the defaults."""
    keys = {"WEBHOOK_KEYS": KEY, "WEBHOOK_SECRET": SECRET, "BODY_KEYS": BODY_KEY}
    return running.environment({"HOST": "127.0.0.1", "PORT": str(port), "REDIS_URL": stores.redis_url, **keys, **env})


def _wait_for(process: "subprocess.Popen[bytes]", server: Running) -> None:
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if line.recv(1):
                return
        time.sleep(0.05)
    raise ServerFailed(f"a server did not start: {server.log_tail()}")
