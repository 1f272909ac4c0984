"""The two sides: the same service on a database with few rows and on one with many, in turn."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal

from benchmarks import machine
from benchmarks.bodies import CIPHER, bodies, moved_bookings
from benchmarks.growth.fill import booking_id, fill, host_id, put_back
from benchmarks.growth.warm import warm
from benchmarks.rounds import Rounds, packed
from benchmarks.service import (
    DatabaseReader,
    MeasurementFailed,
    Service,
    check,
    insert_deliveries,
    open_reader,
    service,
    trigger_drain,
    wait_until_done,
)
from benchmarks.stores import Kind, Stores, checkpoint
from runtime.database import Database

Size = Literal["few", "many"]
LINES = 16
INBOX = {"worker": "python -m worker inbox"}
ROWS = "SELECT count(*) FROM deliveries"
RECEIVER_COUNT, WORKER_COUNT, QUICK = 10_000, 5_000, 200
WARM_UP = {"receiver": 30_000, "worker": 5_000}
"""It is long, as what is touched for the first time after a checkpoint costs more, and few rows soon all are. In the
worker it is longer than it seems: it processes the receiver's backlog first."""


Turn = Callable[["Side", Service, int], dict[str, float]]


@dataclass(frozen=True)
class Side:
    """One database with its own queue.

    Attributes:
        name: few or many.
        rows: how many it was filled with.
        url: where it is.
        redis_url: the queue.
        reader: looks at it.
        folder: where its processes print.
    """

    name: Size
    rows: int
    url: str
    redis_url: str
    reader: DatabaseReader
    folder: Path
    _numbers: "count[int]"

    def fill(self) -> float:
        """Write the rows.

        Returns:
            How long it took, in seconds.
        """
        started = time.monotonic()
        with closing(Database(self.url)) as database, machine.on(*machine.CORES):
            fill(database, self.rows, datetime.now(UTC), CIPHER)
        return time.monotonic() - started

    def put_back(self) -> None:
        """Put the few rows back; many stay about as many."""
        if self.name == "few":
            with closing(Database(self.url)) as database:
                put_back(database, self.rows, datetime.now(UTC), CIPHER)

    def deliveries(self, amount: int) -> list[bytes]:
        """Return deliveries, one half about new bookings, the other about existing ones."""
        run = f"{self.name} {next(self._numbers)}"
        dice = Random(run)  # noqa: S311
        known = [(booking_id(number), host_id(number)) for number in dice.choices(range(self.rows), k=amount // 2)]
        return [*bodies(run, amount - len(known)), *moved_bookings(known, run)]


@contextmanager
def open_sides(stores: Stores, kind: Kind, sizes: Mapping[Size, int]) -> Iterator[dict[Size, Side]]:
    """Yield empty databases of both sizes; they are dropped when the block ends."""
    with ExitStack() as stack:
        sides: dict[Size, Side] = {}
        for number, (name, rows) in enumerate(sizes.items()):
            url = stores.database(kind)
            stack.callback(stores.drop, url)
            reader = stack.enter_context(open_reader(url))
            sides[name] = Side(
                name, rows, url, f"{stores.redis_url.rpartition('/')[0]}/{number}", reader, stores.folder, count()
            )
        stores.empty_redis()
        yield sides


def measure_sides(sides: Mapping[Size, Side], rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Measure receiver and worker on both sides, in turn; the few rows are put back before each.

    Returns:
        Place -> side -> quantity -> a value of each round.
    """
    results = {}
    for place, names, amount in (("receiver", ("web",), RECEIVER_COUNT), ("worker", ("worker",), WORKER_COUNT)):
        with ExitStack() as stack:
            turns = {}
            checkpoint(sides["many"].url)
            for name, side in sides.items():
                with machine.on(machine.SERVER):
                    running = stack.enter_context(service(side.folder, side.url, side.redis_url, names, INBOX))
                turn = TURNS[place]
                turn(side, running, QUICK if quick else WARM_UP[place])
                turns[name] = partial(_put_back_and, turn, side, running, QUICK if quick else amount)
            results[place] = packed(rounds.alternate(turns))
    return results


def _put_back_and(turn: Turn, side: Side, running: Service, amount: int) -> dict[str, float]:
    side.put_back()
    return turn(side, running, amount)


def measure_receiver(side: Side, running: Service, amount: int) -> dict[str, float]:
    """Measure the receiver's maximum rate."""
    sent = side.deliveries(amount)
    warm(side.reader, side.url)
    before, there = running.processor_seconds(side.reader), side.reader.number(ROWS)
    rate = running.send(sent, LINES).rate
    spent = running.processor_seconds(side.reader) - before
    if side.reader.number(ROWS) - there != len(sent):
        raise MeasurementFailed("not each 200 is a row")
    return {"rate": rate, "processor": spent / len(sent) * 1000, "rows": there}


def measure_worker(side: Side, running: Service, amount: int) -> dict[str, float]:
    """Measure the worker's rate; the receiver's backlog is processed first."""
    process_pending(side, running)
    waiting, there = side.deliveries(amount), side.reader.number(ROWS)
    insert_deliveries(side.url, waiting)
    warm(side.reader, side.url)
    before = running.processor_seconds(side.reader)
    seconds = process_pending(side, running)
    spent = running.processor_seconds(side.reader) - before
    check(side.reader, waiting)
    return {"rate": len(waiting) / seconds, "processor": spent / len(waiting) * 1000, "rows": there}


def process_pending(side: Side, running: Service) -> float:
    """Process the backlog within a time limit."""
    started = time.perf_counter()
    trigger_drain(side.url, side.redis_url)
    wait_until_done(side.reader, running)
    return time.perf_counter() - started


TURNS: dict[str, Turn] = {"receiver": measure_receiver, "worker": measure_worker}
