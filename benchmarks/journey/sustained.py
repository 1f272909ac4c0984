"""Sustained load: whether all processes together keep up with the slower half's rate; if not, with which rate."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from statistics import linear_regression
from threading import Event, Thread
from typing import Any

from benchmarks import machine
from benchmarks.bodies import bodies
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
SECONDS, TRIAL_SECONDS, QUICK_SECONDS = 60, 30, 3
START_SECONDS = 5.0
"""Until then the backlog grows in any case: from nothing to what a job finds when it checks again."""
TRIALS = 4
MOST_BEHIND = 0.02
"""A load is sustained if the backlog grows by at most this share of the rate."""
LATE_SECONDS = 1.0
"""And if the last response is no later than this, and the backlog is then processed as quickly."""
LONGEST_QUIET_SECONDS = 60.0
INBOX = {"worker": "python -m worker inbox"}

LoadTrial = dict[str, Any]


def sustained(stores: Stores, kind: Kind, *, quick: bool) -> dict[str, Any]:
    """Measure receiver and worker, each on one core; then all together, on all, at the lower one.

    Where that does not hold, the highest load that does is looked for.
    """
    limits = {"receiver": _receiver_rate(stores, kind, quick=quick), "worker": _worker_rate(stores, kind, quick=quick)}
    print(f"  {kind}: {limits}")
    lower = min(limits.values())
    with _running(stores, kind) as (running, reader):
        _load(running, reader, "warm", min(lower, 50.0), 2)
        whole = _load(running, reader, "whole", lower, QUICK_SECONDS if quick else SECONDS)
        print(f"  {kind}: {whole}")
        trials = [] if whole["holds"] else _bisect(running, reader, lower, quick=quick)
    holding = [trial["rate"] for trial in [whole, *trials] if trial["holds"]]
    return {"limits": limits, "whole": whole, "trials": trials, "highest": max(holding, default=0.0)}


def _bisect(running: Service, reader: DatabaseReader, too_much: float, *, quick: bool) -> list[LoadTrial]:
    low, high, trials = 0.0, too_much, list[LoadTrial]()
    for number in range(1 if quick else TRIALS):
        rate = (low + high) / 2
        trials.append(_load(running, reader, f"trial {number}", rate, QUICK_SECONDS if quick else TRIAL_SECONDS))
        print(f"  {trials[-1]}")
        low, high = (rate, high) if trials[-1]["holds"] else (low, rate)
    return trials


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


def _wait_for_notifications(reader: DatabaseReader) -> None:
    """Wait until the service is idle before the next trial, within a limit."""
    until = time.monotonic() + LONGEST_QUIET_SECONDS
    while reader.pending("notifications") and time.monotonic() < until:
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


def _receiver_rate(stores: Stores, kind: Kind, *, quick: bool) -> float:
    """Return the receiver's deliveries per second under a closed loop."""
    with _running(stores, kind, "web") as (running, _):
        running.send(bodies("warm", WARM_UP), LINES)
        return running.send(bodies("receiver", QUICK if quick else RECEIVER_COUNT), LINES).rate


def _worker_rate(stores: Stores, kind: Kind, *, quick: bool) -> float:
    """Return the worker's deliveries per second on a backlog."""
    with _running(stores, kind, "worker") as (running, reader):
        _process_all(stores, reader, running, bodies("warm", WARM_UP))
        amount = QUICK if quick else WORKER_COUNT
        return amount / _process_all(stores, reader, running, bodies("worker", amount))


def _process_all(stores: Stores, reader: DatabaseReader, running: Service, waiting: Sequence[bytes]) -> float:
    insert_deliveries(running.url, waiting)
    started = time.perf_counter()
    trigger_drain(stores.redis_url)
    wait_until_done(reader, running)
    seconds = time.perf_counter() - started
    check(reader, waiting)
    return seconds


def _in_use(stores: Stores, kind: Kind) -> str:
    """Return the URL of a database with realistic statistics: the planner of an empty one expects it to stay empty."""
    url = stores.database(kind)
    database = Database(url)
    fill(database, ROWS, datetime.now(UTC))
    database.close()
    return url


@contextmanager
def _running(stores: Stores, kind: Kind, *names: str) -> Iterator[tuple[Service, DatabaseReader]]:
    """Run one half of the service on one core, without sending notifications; or all of it on all cores."""
    url = _in_use(stores, kind)
    stores.empty_redis()
    which, instead = (names, INBOX) if names else (processes.PROCESSES, None)
    cores, others = ((machine.SERVER,), (machine.LOAD,)) if names else (machine.CORES, machine.CORES)
    with ExitStack() as stack:
        stack.callback(stores.drop, url)
        stack.enter_context(stores.on(*cores))
        with machine.on(*cores):
            running = stack.enter_context(service(stores.folder, url, stores.redis_url, which, instead))
        stack.enter_context(machine.on(*others))
        yield running, stack.enter_context(open_reader(url))
