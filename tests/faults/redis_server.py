"""The Redis of one fault: the same server as elsewhere, but one that can be killed, frozen, filled and emptied."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from console import redis_server
from models import queue
from models.queue import Bell


class RedisServer:
    """A server that comes back on its port and its data.

    Attributes:
        url: where it is.
        client: looks into it.
        inbox: RQ's queue, as the processes of this fault call it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._port = folder, redis_server.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client: Redis = queue.connect(self.url)
        self.inbox = Bell(self.client).queue("inbox")
        self._process = redis_server.start(self._folder, self._port)

    def kill(self) -> None:
        """As a machine that loses its power would, but for what the system still writes."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """After a kill."""
        self._process = redis_server.start(self._folder, self._port)

    def freeze(self) -> None:
        """It takes connections, and never answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        self._process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Nothing can be added any more (`noeviction`)."""
        self.client.config_set("maxmemory", 1)

    def widen(self) -> None:
        """There is room again."""
        self.client.config_set("maxmemory", 0)

    def stop(self) -> None:
        """For good."""
        self.client.close()
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running(folder: Path) -> Iterator[RedisServer]:
    """One, until the block ends."""
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.stop()
