"""The Redis of a fault: it can be killed, frozen, filled and replaced."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from redis import Redis
from rq import Queue, Worker

from devtools import redis_server
from runtime.queue import JobQueue
from runtime.redis.client import DEFAULT_PREFIX, connect
from runtime.redis.installation import default_prefix
from tests.redis_pair import SERVICE_NAME, redis_pair, sentinel
from tests.tcp_proxy import proxy

RedisKind = Literal["alone", "pair", "sentinel"]


class RedisServer:
    """A server that restarts on its port with its data.

    Attributes:
        url: where it is.
        client: looks into it.
    """

    def __init__(self, folder: Path, prefix: str = DEFAULT_PREFIX) -> None:
        folder.mkdir()
        self._folder, self._port = folder, redis_server.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client: Redis = connect(self.url, prefix)
        self._process = redis_server.start(self._folder, self._port)

    @property
    def inbox(self) -> Queue:
        """RQ's queue of the processes under test."""
        return JobQueue(self.client).queue("inbox")

    def workers(self) -> list[Worker]:
        """All registered workers, of any installation."""
        return [worker for worker in Worker.all(self.client) if worker.death_date is None]

    def kill(self) -> None:
        """Kill it, as in a power loss."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start it after a kill."""
        self._process = redis_server.start(self._folder, self._port)

    def freeze(self) -> None:
        """Freeze it: it accepts connections and never answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Unfreeze it."""
        self._process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Fill its memory (`noeviction`)."""
        self.client.config_set("maxmemory", 1)

    def free_space(self) -> None:
        """Free the memory."""
        self.client.config_set("maxmemory", 0)

    def fail_over(self) -> None:
        """Only a pair can fail over."""
        raise RuntimeError('this fault needs two Redis servers: name redis="pair" in the catalogue')

    def has_master(self) -> bool:
        """Whether it can be written."""
        return True

    def stop(self) -> None:
        """Stop it for good."""
        self.client.close()
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


class RedisServers(RedisServer):
    """A master and its replica: behind one address, or watched by a Sentinel."""

    def __init__(self, stack: ExitStack, folder: Path, kind: RedisKind) -> None:
        self._pair = stack.enter_context(redis_pair(folder))
        if kind == "sentinel":
            port = stack.enter_context(sentinel(folder / "sentinel", self._pair.ports[0]))
            self.url = f"redis+sentinel://127.0.0.1:{port}/{SERVICE_NAME}/0"
        else:
            self._line = stack.enter_context(proxy(self._pair.ports[0]))
            self.url = f"redis://127.0.0.1:{self._line.port}/0"
        self.client = stack.enter_context(connect(self.url))

    def kill(self) -> None:
        """Return the master."""
        self._pair.kill_master()

    def fail_over(self) -> None:
        """Promote the replica and move the address; open connections stay with the demoted server."""
        self._line.target = self._pair.ports[1]
        self._pair.fail_over()

    def has_master(self) -> bool:
        """Whether the replica was promoted."""
        role: bool = self._pair.clients[1].info("replication")["role"] == "master"  # type: ignore[index]
        return role


@contextmanager
def running(folder: Path, kind: RedisKind = "alone", database_url: str | None = None) -> Iterator[RedisServer]:
    """Run one server or a pair until the block ends, with the key prefix of a database if given."""
    if kind != "alone":
        with ExitStack() as stack:
            yield RedisServers(stack, folder, kind)
        return
    server = RedisServer(folder, default_prefix(database_url) if database_url else DEFAULT_PREFIX)
    try:
        yield server
    finally:
        server.stop()
