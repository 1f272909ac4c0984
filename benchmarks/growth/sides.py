"""The two sides: the same service on a database with few rows and on one with many, in turn."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal

from benchmarks import machine
from benchmarks.bodies import bodies, moved_bookings
from benchmarks.growth.fill import booking_id, fill, host_id
from benchmarks.growth.warm import warm
from benchmarks.rounds import Rounds, packed
from benchmarks.service import Look, Lost, Service, check, looking, put, ring, service, wait_until_done
from benchmarks.stores import Kind, Stores, checkpoint
from runtime.database import Database

Size = Literal["few", "many"]
LINES = 16
INBOX = {"worker": "python -m worker inbox"}
ROWS = "SELECT count(*) FROM deliveries"
AT_THE_DOOR, IN_THE_ROOM, QUICK = 10_000, 5_000, 200
WARM_UP = {"door": 30_000, "room": 5_000}
"""It is long, as what is touched for the first time after a checkpoint costs more, and few rows soon all are. In the
room it is longer than it seems: what the door left there comes first."""


@dataclass(frozen=True)
class Side:
    """One database, with a queue of its own.

    Attributes:
        name: few or many.
        rows: how many it was filled with.
        url: where it is.
        redis_url: the queue.
        look: looks at it.
        folder: where its processes print.
    """

    name: Size
    rows: int
    url: str
    redis_url: str
    look: Look
    folder: Path
    _numbers: "count[int]"

    def fill(self) -> float:
        """Writes the rows.

        Returns:
            How long it took, in seconds.
        """
        started, database = time.monotonic(), Database(self.url)
        with machine.on(*machine.CORES):
            fill(database, self.rows, datetime.now(UTC))
        database.close()
        return time.monotonic() - started

    def deliveries(self, much: int) -> list[bytes]:
        """One half is about new bookings, the other about any of those that are there."""
        run = f"{self.name} {next(self._numbers)}"
        dice = Random(run)  # noqa: S311
        known = [(booking_id(number), host_id(number)) for number in dice.choices(range(self.rows), k=much // 2)]
        return [*bodies(run, much - len(known)), *moved_bookings(known, run)]


@contextmanager
def open_sides(stores: Stores, kind: Kind, sizes: Mapping[Size, int]) -> Iterator[dict[Size, Side]]:
    """Empty databases of both sizes; gone when the block ends."""
    with ExitStack() as stack:
        sides: dict[Size, Side] = {}
        for number, (name, rows) in enumerate(sizes.items()):
            url = stores.database(kind)
            stack.callback(stores.drop, url)
            look = stack.enter_context(looking(url))
            sides[name] = Side(
                name, rows, url, f"{stores.redis_url.rpartition('/')[0]}/{number}", look, stores.folder, count()
            )
        stores.empty_redis()
        yield sides


def measure_sides(sides: Mapping[Size, Side], rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Both places on both sides, in turn.

    Returns:
        Place -> side -> quantity -> a value of each round.
    """
    results = {}
    for place, names, much in (("door", ("web",), AT_THE_DOOR), ("room", ("worker",), IN_THE_ROOM)):
        with ExitStack() as stack:
            turns = {}
            checkpoint(sides["many"].url)
            for name, side in sides.items():
                with machine.on(machine.SERVER):
                    running = stack.enter_context(service(side.folder, side.url, side.redis_url, names, INBOX))
                turn = TURNS[place]
                turn(side, running, QUICK if quick else WARM_UP[place])
                turns[name] = partial(turn, side, running, QUICK if quick else much)
            results[place] = packed(rounds.alternate(turns))
    return results


def at_the_door(side: Side, running: Service, much: int) -> dict[str, float]:
    """As many as the receiver takes."""
    sent = side.deliveries(much)
    warm(side.look, side.url)
    before, there = running.processor_seconds(side.look), side.look.number(ROWS)
    rate = running.fire(sent, LINES).rate
    spent = running.processor_seconds(side.look) - before
    if side.look.number(ROWS) - there != len(sent):
        raise Lost("not each 200 is a row")
    return {"rate": rate, "processor": spent / len(sent) * 1000, "rows": there}


def in_the_room(side: Side, running: Service, much: int) -> dict[str, float]:
    """As many as the worker works off; what the door left there comes first."""
    work_off(side, running)
    waiting, there = side.deliveries(much), side.look.number(ROWS)
    put(side.url, waiting)
    warm(side.look, side.url)
    before = running.processor_seconds(side.look)
    seconds = work_off(side, running)
    spent = running.processor_seconds(side.look) - before
    check(side.look, waiting)
    return {"rate": len(waiting) / seconds, "processor": spent / len(waiting) * 1000, "rows": there}


def work_off(side: Side, running: Service) -> float:
    """Everything that waits; in so many seconds."""
    started = time.perf_counter()
    ring(side.redis_url)
    wait_until_done(side.look, running)
    return time.perf_counter() - started


TURNS = {"door": at_the_door, "room": in_the_room}
