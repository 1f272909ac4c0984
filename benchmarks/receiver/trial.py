"""One trial: a setup on empty stores, warmed up, loaded, and checked for what it stored."""

import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from benchmarks import load, machine
from benchmarks.bodies import bodies
from benchmarks.load import LoadMeasurement
from benchmarks.receiver.server import SECRET, Running, ServerFailed, serving
from benchmarks.receiver.setups import ReceiverSetup, Where
from benchmarks.running import plain
from benchmarks.service import open_reader
from benchmarks.stores import Stores
from runtime.redis.client import connect

LINES = 64
CHUNK_SIZE = 10_000
"""Number of deliveries generated at once; a new trial starts again with the first."""
WARM_UP_COUNT = 200
"""The first deliveries of a warm-up, which determine its length."""
TABLES = {"rows": "deliveries", "webhooks": "public.webhooks"}


@dataclass
class ReceiverTrial:
    """A running server, and what it was sent.

    Attributes:
        server: where it listens.
        path: what is posted to.
        wraps: see `ReceiverSetup`.
        url: of its database, if it has one.
        answered: how many it answered with 200.
        created: how many of them were new bookings.
        rate: deliveries per second of the last closed loop.
    """

    server: Running
    path: str
    wraps: Callable[[bytes], bytes] | None = None
    url: str = ""
    answered: int = 0
    created: int = 0
    rate: float = 0.0
    _used: int = field(default=0, init=False)

    def warm_up(self, seconds: float) -> None:
        """Send until it is warm, and measure its rate."""
        self.rate = self._send(WARM_UP_COUNT, LINES).rate
        if seconds:
            self.closed(seconds)

    def closed(self, seconds: float, lines: int = LINES) -> LoadMeasurement:
        """Send as much as it accepts, for about this long."""
        measurement = self._send(max(lines, int(self.rate * seconds)), lines)
        self.rate = measurement.rate
        return measurement

    def open(self, seconds: float, rate: float, lines: int = 2 * LINES) -> LoadMeasurement:
        """Send at this rate, whether or not it keeps up."""
        return self._send(max(lines, int(rate * seconds)), lines, rate)

    def missing(self) -> int:
        """Return how many new bookings it has answered and not stored yet, in its table of webhooks."""
        with open_reader(self.url) as reader:
            return self.created - reader.number(f"SELECT count(*) FROM {TABLES['webhooks']}")  # noqa: S608 - as below

    def _send(self, count: int, lines: int, rate: float = 0.0) -> LoadMeasurement:
        sent = list(map(self.wraps or bytes, _bodies(self._used, self._used + count)))
        packed = [load.requests([body], self.path, [f"X-Signature: {_signed(body)}"])[0] for body in sent]
        self._used += count
        with machine.on(machine.LOAD):
            measurement = load.send(load.here(self.server.port), packed, lines, rate)
        if set(measurement.statuses) != {200}:
            raise ServerFailed(f"answers were {dict(measurement.statuses)}: {self.server.log_tail()}")
        self.answered += measurement.statuses[200]
        self.created += sum(b'"booking_created"' in body for body in sent)
        return measurement


@contextmanager
def trial(setup: ReceiverSetup, stores: Stores) -> Iterator[ReceiverTrial]:
    """Run it until the block ends.

    Raises:
        Failed: it does not run, answers something else than 200, or has not kept what it answered.
    """
    stores.empty_redis()
    url = stores.database(setup.kind) if setup.kind else ""
    try:
        settings = {**setup.env, **({"DATABASE_URL": plain(url) if setup.interpreter else url} if url else {})}
        with serving(setup.command, stores, settings, setup.interpreter) as server:
            yield (one := ReceiverTrial(server, setup.path, setup.wraps, url))
            stored = _count_stored(setup.stores_in, stores, url, one.answered)
            if stored != one.answered:
                raise ServerFailed(f"it answered {one.answered} and kept {stored}: {server.log_tail()}")
    finally:
        if setup.kind:
            stores.drop(url)


def _count_stored(where: Where, stores: Stores, url: str, answered: int) -> int:
    if where in ("", "later"):
        return answered
    if where in TABLES:
        with open_reader(url) as reader:
            return reader.number(f"SELECT count(*) FROM {TABLES[where]}")  # noqa: S608 - names of ours
    with connect(stores.redis_url) as redis:
        return int(redis.zcard(where) if redis.type(where) == b"zset" else redis.llen(where))


def _signed(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def _bodies(first: int, end: int) -> Sequence[bytes]:
    chunks = [_chunk(number) for number in range(first // CHUNK_SIZE, (end - 1) // CHUNK_SIZE + 1)]
    begin = first // CHUNK_SIZE * CHUNK_SIZE
    return list(chain.from_iterable(chunks))[first - begin : end - begin]


@cache
def _chunk(number: int) -> Sequence[bytes]:
    return bodies(f"receiver {number}", CHUNK_SIZE)
