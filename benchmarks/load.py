"""Load generator: deliveries over persistent connections, from one thread, with the latency of each response.

A connection is opened when first needed, and again after the server closed it; opening it counts towards latency.

Closed loop: each connection sends its next delivery as soon as the last one was answered; this finds the maximum
server can do. Open loop: deliveries leave at fixed times whether or not the server keeps up, and an answer is timed
from the moment at which its delivery was to leave; this is what a sender feels.
"""

import gc
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from devtools.send.load import percentile

TIMEOUT_SECONDS = 30.0
RECEIVE_BYTES = 16 * 1024

Target = tuple[str, int]
"""Host and port."""


def here(port: int) -> list[Target]:
    """Return a server on this machine."""
    return [("127.0.0.1", port)]


@dataclass
class LoadMeasurement:
    """The responses of a run.

    Attributes:
        seconds: from the first that left to the last answer.
        statuses: HTTP status -> how many.
        milliseconds: of each answer.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.statuses.total() / self.seconds

    def latency(self, percent: int) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        return percentile(sorted(self.milliseconds), percent)


@dataclass(eq=False)
class _Connection:
    target: Target
    sock: socket.socket | None = None
    is_waiting: bool = False
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def requests(bodies: Sequence[bytes], path: str, headers: Sequence[str] = ()) -> list[bytes]:
    """Return the requests as bytes."""
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers])
    return [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def send(
    targets: Sequence[Target], requests_to_send: Sequence[bytes], connections: int, rate: float = 0.0
) -> LoadMeasurement:
    """Send all requests.

    Args:
        targets: the servers, which share the connections.
        requests_to_send: what `requests` made.
        connections: how many are open at once.
        rate: deliveries per second of an open loop; zero for a closed one.

    Raises:
        ConnectionError: a line was closed before its answer.
        TimeoutError: nothing was answered for half a minute.
    """
    gc.collect()
    gc.disable()
    try:
        return _LoadGenerator(targets, requests_to_send, connections, rate).send()
    finally:
        gc.enable()


class _LoadGenerator:
    def __init__(
        self, targets: Sequence[Target], requests_to_send: Sequence[bytes], connections: int, rate: float
    ) -> None:
        self._requests = iter(requests_to_send)
        self._remaining, self._rate, self._numbers = len(requests_to_send), rate, iter(range(len(requests_to_send)))
        self._selector = selectors.DefaultSelector()
        self._idle = deque(_Connection(targets[number % len(targets)]) for number in range(connections))
        self._measurement = LoadMeasurement()

    def send(self) -> LoadMeasurement:
        started = self._start = time.perf_counter()
        try:
            self._run()
        finally:
            for key in list(self._selector.get_map().values()):
                self._close(key.data)
            self._selector.close()
        self._measurement.seconds = time.perf_counter() - started
        return self._measurement

    def _run(self) -> None:
        next_at = self._next_time()
        while self._remaining:
            now = time.perf_counter()
            while self._idle and next_at is not None and next_at <= now:
                self._send(self._idle.popleft(), next_at)
                next_at = self._next_time()
            wait = TIMEOUT_SECONDS
            if self._idle and next_at is not None:
                wait = max(0.0, next_at - time.perf_counter())
            events = self._selector.select(wait)
            if not events and wait == TIMEOUT_SECONDS:
                raise TimeoutError("nothing was answered for half a minute")
            for key, _ in events:
                self._receive(key.data)

    def _next_time(self) -> float | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        return self._start + (number / self._rate if self._rate else 0.0)

    def _send(self, connection: _Connection, planned: float) -> None:
        connection.is_waiting, connection.sent_at = True, planned if self._rate else time.perf_counter()
        if connection.sock is None:
            connection.sock = socket.create_connection(connection.target)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.sock.sendall(next(self._requests))

    def _receive(self, connection: _Connection) -> None:
        assert connection.sock is not None  # noqa: S101 - only open lines are listened to
        part = connection.sock.recv(RECEIVE_BYTES)
        if not part:
            if connection.is_waiting:
                raise ConnectionError("the server closed a line before its answer")
            self._close(connection)
            return
        connection.received += part
        head, found, body = connection.received.partition(b"\r\n\r\n")
        if not found or len(body) < length(head):
            return
        self._measurement.statuses[int(head[9:12])] += 1
        self._measurement.milliseconds.append((time.perf_counter() - connection.sent_at) * 1000)
        self._remaining -= 1
        connection.is_waiting = False
        connection.received.clear()
        if b"connection: close" in head.lower():
            self._close(connection)
        self._idle.append(connection)

    def _close(self, connection: _Connection) -> None:
        if connection.sock:
            self._selector.unregister(connection.sock)
            connection.sock.close()
            connection.sock = None


def length(head: bytearray) -> int:
    """Return the length of the body after this head, in bytes."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
