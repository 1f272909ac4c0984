"""Measurements: the rate of several workers and receivers on hosts of their own, and what each delivery costs where."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks import load, machine, processor
from benchmarks.bodies import bodies
from benchmarks.hosts import database_with_hosts
from benchmarks.network.namespaces import OUTSIDE, Host, hosts, why_not
from benchmarks.rounds import Rounds, packed
from benchmarks.service import (
    PATH,
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
from benchmarks.stores import Stores
from benchmarks.stores import stores as open_stores

WORKERS, RECEIVERS = (1, 2, 4), (1, 2)
LINES = 64
WARM_UP, COUNT, QUICK = 1_000, 8_000, 300
LONGEST_SECONDS, POLL_INTERVAL_SECONDS = 60.0, 0.1
PLACES = ("hosts", "PostgreSQL", "Redis", "load")
"""Where the processor's time is spent: in our processes, in the stores, and in what sends and watches."""
COUNTERS = {
    "log bytes": "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')",
    "row bytes": "SELECT pg_database_size(current_database())",
}
INBOX, OUTBOX = ("worker", "python -m worker inbox"), ("worker", "python -m worker outbox")
RECEIVER = ("web", "python -m receiver")
"""Name in the Procfile, and command."""

Figures = dict[str, float]


def measure(_stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Measure all of it; or say why that cannot be done here."""
    if reason := why_not():
        print(f"  skipped: {reason}", flush=True)
        return {"skipped": reason}
    count = QUICK if quick else COUNT
    with machine.on(*machine.CORES), hosts(max(WORKERS)) as on, open_stores(OUTSIDE) as stores:
        turns: dict[str, Callable[[], Figures]] = {
            **{f"workers: {number}": partial(_workers, stores, on[:number], count) for number in WORKERS},
            **{f"receivers: {number}": partial(_receivers, stores, on[:number], count) for number in RECEIVERS},
            "notifications: 1": partial(_notifications, stores, on[0], count),
        }
        return {"figures": packed(rounds.alternate(turns))}


def _workers(stores: Stores, on: Sequence[Host], count: int) -> Figures:
    """Process a backlog with a worker on each host."""
    with _database(stores) as reader, _running(stores, reader, on, *INBOX) as running:
        _process(stores, reader, running, bodies("warm", WARM_UP))
        waiting = bodies("network", count)
        insert_deliveries(reader.url, waiting)
        figures = _metered(stores, reader, running, count, lambda: _process(stores, reader, running, ()))
        check(reader, waiting)
        return figures


def _receivers(stores: Stores, on: Sequence[Host], count: int) -> Figures:
    """Send to a receiver on each host, as a load balancer would."""
    with _database(stores) as reader, _running(stores, reader, on, *RECEIVER) as running:
        targets = [(each.host, each.port) for each in running]
        load.send(targets, load.requests(bodies("warm", WARM_UP), PATH), LINES)
        requests = load.requests(bodies("network", count), PATH)
        figures = _metered(stores, reader, running, count, lambda: load.send(targets, requests, LINES))
        if reader.pending() != WARM_UP + count:
            raise MeasurementFailed(f"{reader.pending()} rows of {WARM_UP + count} deliveries")
        return figures


def _notifications(stores: Stores, host: Host, count: int) -> Figures:
    """Send the notifications of a backlog that was processed."""
    with _database(stores) as reader:
        with _running(stores, reader, [host], *INBOX) as running:
            _process(stores, reader, running, bodies("network", WARM_UP + count))
        with _running(stores, reader, [host], *OUTBOX) as running:
            trigger_drain(reader.url, stores.redis_url, "outbox")
            _wait_for_notifications(reader, reader.pending("notifications") - 1)
            left = max(1, reader.pending("notifications"))
            return _metered(stores, reader, running, left, lambda: _wait_for_notifications(reader, 0))


@contextmanager
def _database(stores: Stores) -> Iterator[DatabaseReader]:
    stores.empty_redis()
    url = database_with_hosts(stores, "postgresql")
    try:
        with open_reader(url) as reader:
            yield reader
    finally:
        stores.drop(url)


@contextmanager
def _running(
    stores: Stores, reader: DatabaseReader, on: Sequence[Host], name: str, command: str
) -> Iterator[list[Service]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                service(
                    stores.folder,
                    reader.url,
                    stores.redis_url,
                    (name,),
                    {name: host.command(command)},
                    HOST=host.address,
                )
            )
            for host in on
        ]


def _process(stores: Stores, reader: DatabaseReader, running: Sequence[Service], more: Sequence[bytes]) -> None:
    """Process all that is pending, and more."""
    insert_deliveries(reader.url, more)
    trigger_drain(reader.url, stores.redis_url)
    wait_until_done(reader, running[0])


def _wait_for_notifications(reader: DatabaseReader, most: int) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while reader.pending("notifications") > most:
        if time.monotonic() > until:
            raise MeasurementFailed("notifications still wait")
        time.sleep(POLL_INTERVAL_SECONDS)


def _metered(
    stores: Stores, reader: DatabaseReader, running: Sequence[Service], count: int, work: Callable[[], object]
) -> Figures:
    """Return what is done per second, how busy the processors were, and what each costs: in µs, and in bytes."""
    before, started = _meters(stores, reader, running), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - started, _meters(stores, reader, running)
    spent = {name: after[name] - before[name] for name in after}
    busy = sum(spent[place] for place in PLACES) / seconds / len(machine.CORES)
    costs = {place: spent[place] / count * 1e6 for place in PLACES}
    return {"per second": count / seconds, "busy": busy, **costs, **{name: spent[name] / count for name in COUNTERS}}


def _meters(stores: Stores, reader: DatabaseReader, running: Sequence[Service]) -> Mapping[str, float]:
    redis, postgresql = (processor.seconds(machine.family(pid)) for pid in stores.pids())
    ours = processor.seconds({one for each in running for pid in each.pids for one in machine.family(pid)})
    spent = dict(zip(PLACES, (ours, postgresql, redis, time.process_time()), strict=True))
    return spent | {name: reader.number(query) for name, query in COUNTERS.items()}
