"""Backlog: whether a delivery costs more when many are pending."""

from datetime import datetime
from typing import Any

from benchmarks import machine
from benchmarks.bodies import bodies
from benchmarks.growth.sides import INBOX
from benchmarks.hosts import database_with_hosts
from benchmarks.rounds import Rounds, packed
from benchmarks.service import (
    DatabaseReader,
    check,
    insert_deliveries,
    open_reader,
    service,
    trigger_drain,
    wait_until_done,
)
from benchmarks.stores import Kind, Stores

WARM_UP, WAITING, QUICK = 10_000, 100_000, 1_000
LONGEST_SECONDS = 20
ROUNDS = 1
"""A long measurement, which compares its beginning with its end."""


def backlog(stores: Stores, kind: Kind, rate: float, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Process a long backlog; compare its first tenth with its last.

    Args:
        stores: where.
        kind: of database.
        rate: known rate of the worker, deliveries per second; limits the length of the backlog.
        rounds: how often, within reason.
        quick: only to see that it works.
    """
    few = Rounds(min(rounds.count, ROUNDS), rounds.probes)
    waiting = QUICK if quick else min(WAITING, round(rate * LONGEST_SECONDS))
    return {"waiting": waiting, **packed(few.alternate({"backlog": lambda: _process_backlog(stores, kind, waiting)}))}


def _process_backlog(stores: Stores, kind: Kind, waiting: int) -> dict[str, float]:
    url = database_with_hosts(stores, kind)
    stores.empty_redis()
    try:
        with machine.on(machine.SERVER):
            running = service(stores.folder, url, stores.redis_url, ("worker",), INBOX)
        with open_reader(url) as reader, running as worker:
            for name, amount in (("before", WARM_UP), ("backlog", waiting)):
                sent = bodies(f"{name} {url}", amount)
                insert_deliveries(url, sent)
                trigger_drain(url, stores.redis_url)
                wait_until_done(reader, worker)
            check(reader, sent)
            tenth = waiting // 10
            first = _when(reader, WARM_UP), _when(reader, WARM_UP + tenth)
            last = _when(reader, WARM_UP + waiting - 1 - tenth), _when(reader, WARM_UP + waiting - 1)
            return {"first": tenth / _between(*first), "last": tenth / _between(*last)}
    finally:
        stores.drop(url)


def _when(reader: DatabaseReader, number: int) -> datetime:
    """Return when the delivery with this number was done."""
    ((moment,),) = reader.rows("SELECT ended_at FROM deliveries ORDER BY ended_at LIMIT 1 OFFSET ?", [number])
    return datetime.fromisoformat(moment) if isinstance(moment, str) else moment


def _between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
