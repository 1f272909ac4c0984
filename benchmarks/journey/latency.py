"""End-to-end latency: from a delivery's scheduled time until another connection sees its booking."""

import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import load
from benchmarks.bodies import new_bookings
from benchmarks.hosts import database_with_hosts
from benchmarks.rounds import Rounds, packed
from benchmarks.service import PATH, DatabaseReader, MeasurementFailed, check, open_reader, service
from benchmarks.stores import Kind, Stores
from devtools.send.load import percentile

RATE = 5.0
DELIVERIES = 300
"""Samples of all rounds together, with a minimum per round."""
AT_LEAST, WARM_UP, QUICK = 60, 20, 10
POLL_INTERVAL_SECONDS = 0.001
TIMEOUT_SECONDS = 10.0


def latency(stores: Stores, kind: Kind, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Run all processes at a low rate.

    Returns:
        Quantity -> a value of each round; and `milliseconds`, of all.
    """
    url, milliseconds = database_with_hosts(stores, kind), list[float]()
    stores.empty_redis()
    amount = QUICK if quick else max(AT_LEAST, DELIVERIES // rounds.count)
    numbers = iter(range(rounds.count))
    with service(stores.folder, url, stores.redis_url) as running, open_reader(url) as reader:
        _Watch(running.port, reader, new_bookings("warm", QUICK if quick else WARM_UP)).watch()

        def turn() -> dict[str, float]:
            sent = new_bookings(f"journey {next(numbers)}", amount)
            seen = sorted(_Watch(running.port, reader, sent).watch())
            check(reader, list(sent.values()))
            milliseconds.extend(seen)
            return {"p50": percentile(seen, 50), "p99": percentile(seen, 99), "max": seen[-1]}

        figures = packed(rounds.alternate({f"journey, {kind}": turn}))[f"journey, {kind}"]
    stores.drop(url)
    return {**figures, "milliseconds": [round(each, 2) for each in milliseconds]}


@dataclass
class _Watch:
    """Sends at fixed times on one connection and polls in between, in one thread: neither waits for the other."""

    port: int
    reader: DatabaseReader
    bodies: Mapping[str, bytes]
    _sent_at: dict[str, float] = field(default_factory=dict)
    _unanswered: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def watch(self) -> list[float]:
        """Return the milliseconds of each, in the order seen.

        Raises:
            Lost: one was not taken, or is never seen.
        """
        waiting = deque(zip(self.bodies, load.requests(list(self.bodies.values()), PATH), strict=True))
        seen, number, started = list[float](), 0, time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port)) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while waiting or self._sent_at or self._unanswered:
                due = started + number / RATE
                if waiting and time.perf_counter() >= due:
                    booking, request = waiting.popleft()
                    line.sendall(request)
                    self._sent_at[booking] = due
                    self._unanswered += 1
                    number += 1
                seen += self._look()
                pause = POLL_INTERVAL_SECONDS if self._sent_at or not waiting else max(0.0, due - time.perf_counter())
                if select.select([line], [], [], pause)[0]:
                    self._receive(line.recv(load.RECEIVE_BYTES))
        return seen

    def _look(self) -> list[float]:
        if not self._sent_at:
            return []
        places = ", ".join("?" * len(self._sent_at))
        found = self.reader.rows(f"SELECT id FROM bookings WHERE id IN ({places})", list(self._sent_at))  # noqa: S608
        now = time.perf_counter()
        if now - min(self._sent_at.values()) > TIMEOUT_SECONDS:
            raise MeasurementFailed(f"a booking is not visible after {TIMEOUT_SECONDS:.0f} s")
        return [(now - self._sent_at.pop(booking)) * 1000 for (booking,) in found]

    def _receive(self, part: bytes) -> None:
        """One connection: responses arrive in the order of the requests."""
        if not part:
            raise MeasurementFailed("the receiver closed the line")
        self._buffer += part
        while True:
            head, found, body = self._buffer.partition(b"\r\n\r\n")
            length = load.length(head)
            if not found or len(body) < length:
                return
            if head[9:12] != b"200":
                raise MeasurementFailed(f"the receiver answered {head[9:12].decode()}")
            self._buffer = bytearray(body[length:])
            self._unanswered -= 1
