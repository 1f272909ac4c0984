"""Sustained load: how much of what the processors of this machine could do holds for a minute."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from statistics import linear_regression
from threading import Event, Thread
from typing import Any

from benchmarks import machine, processor
from benchmarks.bodies import CIPHER, bodies
from benchmarks.growth.fill import fill
from benchmarks.service import (
    DatabaseReader,
    Service,
    check,
    insert_deliveries,
    open_reader,
    service,
    trigger_drain,
    wait_until_done,
)
from benchmarks.stores import Kind, Stores
from devtools import processes
from runtime.database import Database

LINES, OPEN_LINES = 16, 64
ROWS = 20_000
WARM_UP, RECEIVER_COUNT, WORKER_COUNT, QUICK = 300, 4_000, 4_000, 200
SHARES: Mapping[Kind, float] = {"postgresql": 0.8, "sqlite": 0.6}
"""Promised, of the limit: on SQLite, whose one writer waits for the disk, not all cores can be used."""
SECONDS, TRIAL_SECONDS, QUICK_SECONDS = 60, 20, 3
START_SECONDS = 5.0
"""Until then the backlog grows in any case: from nothing to what a job finds when it checks again."""
TRIALS = 3
MOST_BEHIND = 0.02
"""A load is sustained if the backlog grows by at most this share of the rate."""
LATE_SECONDS = 1.0
"""And if the last response is no later than this, and the backlog is then processed as quickly."""
LONGEST_QUIET_SECONDS = 60.0
A_WORKER_FOR_EACH_CORE = {"worker": f"python -m worker -n {len(machine.CORES)}"}
"""On PostgreSQL, as docs/operations.md advises: one process alone waits for the disk and the server half its time."""
INBOX, OUTBOX = {"worker": "python -m worker inbox"}, {"worker": "python -m worker outbox"}

LoadTrial = dict[str, Any]
Costs = dict[str, float]
"""Part -> the processor's seconds for each delivery, those of the stores included."""


def sustained(stores: Stores, kind: Kind, *, quick: bool) -> dict[str, Any]:
    """Measure what each part costs, each on one core; then load all together, on all, with a share of the limit.

    The highest load that holds is looked for above that share, or below it where it does not hold.
    """
    (rate, costs), (worker_rate, worker_costs) = (half(stores, kind, quick=quick) for half in (_receiver, _worker))
    limits, costs = {"receiver": rate, "worker": worker_rate}, costs | worker_costs
    limit = len(machine.CORES) / sum(costs.values())
    print(f"  {kind}: {limits}, processor's seconds: {costs}, limit {limit:,.0f}/s", flush=True)
    with _running(stores, kind) as (running, reader):
        _load(running, reader, "warm", min(limit, 50.0), 2)
        share = SHARES[kind]
        whole = _load(running, reader, "whole", share * limit, QUICK_SECONDS if quick else SECONDS) | {"share": share}
        low, high = (share, 1.0) if whole["holds"] else (0.0, share)
        trials = list[LoadTrial]()
        for number in range(1 if quick else TRIALS):
            share, seconds = (low + high) / 2, QUICK_SECONDS if quick else TRIAL_SECONDS
            trials.append(_load(running, reader, f"trial {number}", share * limit, seconds) | {"share": share})
            low, high = (share, high) if trials[-1]["holds"] else (low, share)
    return {"limits": limits, "costs": costs, "limit": limit, "whole": whole, "trials": trials, "highest": low}


def _load(running: Service, reader: DatabaseReader, run: str, rate: float, seconds: int) -> LoadTrial:
    """Send at this rate; count the backlog every second. The backlog is processed on return."""
    sent = bodies(f"{run} {rate} {time.time()}", round(rate * seconds))
    with _sampled(reader) as samples:
        measurement = running.send(sent, OPEN_LINES, rate)
    ended, left = time.monotonic(), reader.pending()
    wait_until_done(reader, running)
    drained = time.monotonic() - ended
    check(reader, sent)
    steady = [sample for sample in samples if sample[0] > START_SECONDS]
    slope, notification_slope = (_slope([(sample[0], sample[column]) for sample in steady]) for column in (1, 2))
    _wait_for_notifications(reader)
    late = measurement.seconds - (len(sent) - 1) / rate
    holds = slope <= MOST_BEHIND * rate and late <= LATE_SECONDS and drained <= LATE_SECONDS
    print(f"  {rate:,.0f}/s for {seconds} s: {'holds' if holds else 'does not hold'}", flush=True)
    return {
        "rate": rate,
        "seconds": seconds,
        "holds": holds,
        "slope": slope,
        "late": late,
        "left": left,
        "drained": drained,
        "most": max((sample[1] for sample in samples), default=left),
        "notifications": notification_slope,
        "p50": measurement.latency(50),
        "p99": measurement.latency(99),
        "samples": samples,
    }


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """Return the growth per second."""
    return linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else 0.0


def _wait_for_notifications(reader: DatabaseReader, most: int = 0) -> None:
    """Wait until no more than so many notifications are pending, within a limit."""
    until = time.monotonic() + LONGEST_QUIET_SECONDS
    while reader.pending("notifications") > most and time.monotonic() < until:
        time.sleep(0.1)


@contextmanager
def _sampled(reader: DatabaseReader) -> Iterator[list[tuple[float, int, int]]]:
    """Samples of the backlog, one per second: seconds since the start, deliveries, notifications."""
    samples, stop, started = list[tuple[float, int, int]](), Event(), time.monotonic()

    def sample() -> None:
        while not stop.wait(1.0):
            samples.append((time.monotonic() - started, reader.pending(), reader.pending("notifications")))

    thread = Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _receiver(stores: Stores, kind: Kind, *, quick: bool) -> tuple[float, Costs]:
    """Measure a closed loop: deliveries per second, and what each costs in the receiver and in the load."""
    with _running(stores, kind, "web") as (running, _):
        running.send(bodies("warm", WARM_UP), LINES)
        sent = bodies("receiver", QUICK if quick else RECEIVER_COUNT)
        before, own_before = _processor(stores, running), time.process_time()
        rate = running.send(sent, LINES).rate
        spent, own = _processor(stores, running) - before, time.process_time() - own_before
    return rate, {"receiver": spent / len(sent), "load": own / len(sent)}


def _worker(stores: Stores, kind: Kind, *, quick: bool) -> tuple[float, Costs]:
    """Measure a backlog, and then its notifications: deliveries per second, and what each costs."""
    with _running(stores, kind, "worker") as (running, reader):
        _process_all(stores, reader, running, bodies("warm", WARM_UP))
        waiting = bodies("worker", QUICK if quick else WORKER_COUNT)
        insert_deliveries(running.url, waiting)
        before = _processor(stores, running)
        rate = len(waiting) / _process_pending(stores, reader, running)
        spent = _processor(stores, running) - before
        check(reader, waiting)
        notifications = _notifications(stores, reader, running.url)
    return rate, {"worker": spent / len(waiting), "notifications": notifications}


def _notifications(stores: Stores, reader: DatabaseReader, url: str) -> float:
    """Return the processor's seconds for each notification that waits; the first ones are start-up."""
    waiting = reader.pending("notifications")
    with (
        machine.on(machine.SERVER),
        service(stores.folder, url, stores.redis_url, ("worker",), OUTBOX) as sending,
    ):
        trigger_drain(url, stores.redis_url, "outbox")
        _wait_for_notifications(reader, waiting - 1)
        left, before = reader.pending("notifications"), _processor(stores, sending)
        _wait_for_notifications(reader)
        return (_processor(stores, sending) - before) / max(1, left)


def _processor(stores: Stores, running: Service) -> float:
    """Return the processor's seconds so far of the service and of its stores."""
    return processor.seconds({one for pid in (*running.pids, *stores.pids()) for one in machine.family(pid)})


def _process_all(stores: Stores, reader: DatabaseReader, running: Service, waiting: Sequence[bytes]) -> None:
    insert_deliveries(running.url, waiting)
    _process_pending(stores, reader, running)
    check(reader, waiting)


def _process_pending(stores: Stores, reader: DatabaseReader, running: Service) -> float:
    started = time.perf_counter()
    trigger_drain(running.url, stores.redis_url)
    wait_until_done(reader, running)
    return time.perf_counter() - started


def _in_use(stores: Stores, kind: Kind) -> str:
    """Return the URL of a database with realistic statistics: the planner of an empty one expects it to stay empty."""
    url = stores.database(kind)
    database = Database(url)
    fill(database, ROWS, datetime.now(UTC), CIPHER)
    database.close()
    return url


@contextmanager
def _running(stores: Stores, kind: Kind, *names: str) -> Iterator[tuple[Service, DatabaseReader]]:
    """Run one half of the service on one core, without sending notifications; or all of it on all cores."""
    url = _in_use(stores, kind)
    stores.empty_redis()
    whole = A_WORKER_FOR_EACH_CORE if kind == "postgresql" else None
    which, instead = (names, INBOX) if names else (processes.PROCESSES, whole)
    cores, others = ((machine.SERVER,), (machine.LOAD,)) if names else (machine.CORES, machine.CORES)
    with ExitStack() as stack:
        stack.callback(stores.drop, url)
        stack.enter_context(stores.on(*cores))
        with machine.on(*cores):
            running = stack.enter_context(service(stores.folder, url, stores.redis_url, which, instead))
        stack.enter_context(machine.on(*others))
        yield running, stack.enter_context(open_reader(url))
