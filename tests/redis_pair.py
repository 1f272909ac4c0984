"""Two Redis servers, one the replica of the other, and a Sentinel."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from devtools import redis_server
from devtools.redis_server import find_binary, free_port
from tests.waiting import wait_until

SERVICE_NAME = "bookings"
SENTINEL = """port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {service} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 6000
"""


class RedisPair:
    """A master and a replica, until `fail_over` swaps them.

    Attributes:
        ports: ports of master and replica, at the start.
    """

    def __init__(self, folder: Path) -> None:
        self.ports = (free_port(), free_port())
        self._processes = []
        for number, port in enumerate(self.ports):
            self._processes.append(redis_server.start(folder / str(number), port))
        self.clients = [Redis(port=port, socket_timeout=5) for port in self.ports]
        self.clients[1].replicaof("127.0.0.1", str(self.ports[0]))
        wait_until(lambda: self.clients[1].info("replication")["master_link_status"] == "up")  # type: ignore[index]

    def fail_over(self) -> None:
        """Promote the replica and demote the master, as a managed Redis does."""
        self.clients[1].execute_command("REPLICAOF", "NO", "ONE")
        self.clients[0].replicaof("127.0.0.1", str(self.ports[1]))

    def kill_master(self) -> None:
        """Kill the master, as in a power loss."""
        self._processes[0].kill()
        self._processes[0].wait()

    def close(self) -> None:
        """Stop both."""
        for client in self.clients:
            client.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


@contextmanager
def redis_pair(folder: Path) -> Iterator[RedisPair]:
    """Run a pair until the block ends."""
    pair = RedisPair(folder)
    try:
        yield pair
    finally:
        pair.close()


@contextmanager
def sentinel(folder: Path, master: int, password: str = "") -> Iterator[int]:
    """Run a real Sentinel for the service `SERVICE`; yield its port."""
    folder.mkdir(parents=True)
    port, config = free_port(), folder / "sentinel.conf"
    text = SENTINEL.format(port=port, folder=folder, service=SERVICE_NAME, master=master)
    config.write_text(text + (f"requirepass {password}\n" if password else ""))
    command = [str(find_binary()), str(config), "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port, socket_timeout=1, password=password or None) as client:
            wait_until(lambda: _replicas(client) == 1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _replicas(client: "Redis") -> int:
    with suppress(RedisError):
        state = client.sentinel_masters()[SERVICE_NAME]  # type: ignore[index]
        return int(state["num-slaves"])
    return 0
