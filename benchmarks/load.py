"""The load: deliveries over lines that stay open, from one thread, and how long each answer took.

A line is opened when it is needed first, and again after a server has closed it; opening it counts as waiting.

Closed loop: each line sends its next delivery as soon as the last one was answered; this finds the most that a
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

PATIENCE_SECONDS = 30.0
RECEIVE_BYTES = 16 * 1024


@dataclass
class Volley:
    """What was answered.

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
        """Answers per second."""
        return self.statuses.total() / self.seconds

    def latency(self, percent: int) -> float:
        """So many percent were answered within this, in milliseconds."""
        return percentile(sorted(self.milliseconds), percent)


@dataclass(eq=False)
class _Line:
    wire: socket.socket | None = None
    is_waiting: bool = False
    sent_at: float = 0.0
    heard: bytearray = field(default_factory=bytearray)


def requests(bodies: Sequence[bytes], path: str, headers: Sequence[str] = ()) -> list[bytes]:
    """Bodies as they go over the line."""
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers])
    return [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def fire(port: int, packed: Sequence[bytes], lines: int, rate: float = 0.0) -> Volley:
    """Sends all of them.

    Args:
        port: of the server, on this machine.
        packed: what `requests` made.
        lines: how many are open at once.
        rate: deliveries per second of an open loop; zero for a closed one.

    Raises:
        ConnectionError: a line was closed before its answer.
        TimeoutError: nothing was answered for half a minute.
    """
    gc.collect()
    gc.disable()
    try:
        return _Gun(port, packed, lines, rate).fire()
    finally:
        gc.enable()


class _Gun:
    def __init__(self, port: int, packed: Sequence[bytes], lines: int, rate: float) -> None:
        self._port, self._feed = port, iter(packed)
        self._left, self._rate, self._numbers = len(packed), rate, iter(range(len(packed)))
        self._selector = selectors.DefaultSelector()
        self._idle = deque(_Line() for _ in range(lines))
        self._volley = Volley()

    def fire(self) -> Volley:
        started = self._start = time.perf_counter()
        try:
            self._fire()
        finally:
            for key in list(self._selector.get_map().values()):
                self._close(key.data)
            self._selector.close()
        self._volley.seconds = time.perf_counter() - started
        return self._volley

    def _fire(self) -> None:
        upcoming = self._next_time()
        while self._left:
            now = time.perf_counter()
            while self._idle and upcoming is not None and upcoming <= now:
                self._send(self._idle.popleft(), upcoming)
                upcoming = self._next_time()
            wait = PATIENCE_SECONDS
            if self._idle and upcoming is not None:
                wait = max(0.0, upcoming - time.perf_counter())
            events = self._selector.select(wait)
            if not events and wait == PATIENCE_SECONDS:
                raise TimeoutError("nothing was answered for half a minute")
            for key, _ in events:
                self._hear(key.data)

    def _next_time(self) -> float | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        return self._start + (number / self._rate if self._rate else 0.0)

    def _send(self, line: _Line, planned: float) -> None:
        line.is_waiting, line.sent_at = True, planned if self._rate else time.perf_counter()
        if line.wire is None:
            line.wire = socket.create_connection(("127.0.0.1", self._port))
            line.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(line.wire, selectors.EVENT_READ, line)
        line.wire.sendall(next(self._feed))

    def _hear(self, line: _Line) -> None:
        assert line.wire is not None  # noqa: S101 - only open lines are listened to
        part = line.wire.recv(RECEIVE_BYTES)
        if not part:
            if line.is_waiting:
                raise ConnectionError("the server closed a line before its answer")
            self._close(line)
            return
        line.heard += part
        head, found, body = line.heard.partition(b"\r\n\r\n")
        if not found or len(body) < length(head):
            return
        self._volley.statuses[int(head[9:12])] += 1
        self._volley.milliseconds.append((time.perf_counter() - line.sent_at) * 1000)
        self._left -= 1
        line.is_waiting = False
        line.heard.clear()
        if b"connection: close" in head.lower():
            self._close(line)
        self._idle.append(line)

    def _close(self, line: _Line) -> None:
        if line.wire:
            self._selector.unregister(line.wire)
            line.wire.close()
            line.wire = None


def length(head: bytearray) -> int:
    """Of the body that follows a head, in bytes."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
