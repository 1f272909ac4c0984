"""One trial: a contestant on empty stores, warmed up, fired at, and asked afterwards what it kept."""

import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from sqlalchemy import create_engine, text

from benchmarks import load, machine
from benchmarks.bodies import bodies
from benchmarks.door.contestants import Contestant, Where
from benchmarks.door.server import SECRET, Failed, Running, serving
from benchmarks.load import Volley
from benchmarks.stores import Stores
from runtime import queue

LINES = 64
SHEAF = 10_000
"""So many deliveries are made at once, when they are needed; a fresh trial begins again with the first."""
TASTE = 200
"""The first deliveries of a warm-up, which show how many more make it as long as it should be."""


@dataclass
class Trial:
    """A server that runs, and what it was sent.

    Attributes:
        server: where it listens.
        path: what is posted to.
        url: of its database, if it has one.
        answered: how many it answered with 200.
        rate: deliveries per second of the last closed loop.
    """

    server: Running
    path: str
    url: str = ""
    answered: int = 0
    rate: float = 0.0
    _used: int = field(default=0, init=False)

    def warm_up(self, seconds: float) -> None:
        """Fires until it is warm, and learns how fast it is."""
        self.rate = self._fire(TASTE, LINES).rate
        if seconds:
            self.closed(seconds)

    def closed(self, seconds: float, lines: int = LINES) -> Volley:
        """As much as it takes, for about so long."""
        volley = self._fire(max(lines, int(self.rate * seconds)), lines)
        self.rate = volley.rate
        return volley

    def open(self, seconds: float, rate: float, lines: int = 2 * LINES) -> Volley:
        """So many a second, whether or not it keeps up."""
        return self._fire(max(lines, int(rate * seconds)), lines, rate)

    def _fire(self, count: int, lines: int, rate: float = 0.0) -> Volley:
        packed = [
            load.requests([body], self.path, [f"X-Signature: {_signed(body)}"])[0]
            for body in _bodies(self._used, self._used + count)
        ]
        self._used += count
        with machine.on(machine.LOAD):
            volley = load.fire(self.server.port, packed, lines, rate)
        if set(volley.statuses) != {200}:
            raise Failed(f"answers were {dict(volley.statuses)}: {self.server.last_words()}")
        self.answered += volley.statuses[200]
        return volley


@contextmanager
def trial(contestant: Contestant, stores: Stores) -> Iterator[Trial]:
    """Runs it until the block ends.

    Raises:
        Failed: it does not run, answers something else than 200, or has not kept what it answered.
    """
    stores.empty_redis()
    url = stores.database(contestant.kind) if contestant.kind else ""
    try:
        settings = {**contestant.env, **({"DATABASE_URL": url} if url else {})}
        with serving(contestant.command, stores, settings, contestant.interpreter) as server:
            yield (one := Trial(server, contestant.path, url))
            kept = _kept(contestant.keeps, stores, url, one.answered)
            if kept != one.answered:
                raise Failed(f"it answered {one.answered} and kept {kept}: {server.last_words()}")
    finally:
        if contestant.kind:
            stores.drop(url)


def _kept(where: Where, stores: Stores, url: str, answered: int) -> int:
    if not where:
        return answered
    if where == "rows":
        engine = create_engine(url)
        with engine.connect() as connection:
            count = connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one()
        engine.dispose()
        return int(count)
    with queue.connect(stores.redis_url) as redis:
        return int(redis.zcard(where) if redis.type(where) == b"zset" else redis.llen(where))


def _signed(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def _bodies(first: int, end: int) -> Sequence[bytes]:
    sheaves = [_sheaf(number) for number in range(first // SHEAF, (end - 1) // SHEAF + 1)]
    begin = first // SHEAF * SHEAF
    return list(chain.from_iterable(sheaves))[first - begin : end - begin]


@cache
def _sheaf(number: int) -> Sequence[bytes]:
    return bodies(f"door {number}", SHEAF)
