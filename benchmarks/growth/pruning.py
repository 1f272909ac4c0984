"""Pruning: the receiver's latency while old rows are removed."""

import shlex
import subprocess
import time
from typing import Any

from benchmarks import machine
from benchmarks.growth.sides import INBOX, Side
from benchmarks.load import LoadMeasurement
from benchmarks.service import MeasurementFailed, Service, check, service, wait_until_done
from benchmarks.stores import Stores
from devtools import processes

RATE, LINES = 50, 16
BEFORE_SECONDS, SLICE_SECONDS, LONGEST_SECONDS = 10, 5, 40
QUICK_SECONDS, LONGEST_QUICK_SECONDS = 1, 4
PRUNE = "python -m console prune"
KEEP_DAYS = "1"
"""Less than the age of the youngest filled row."""


def pruning(stores: Stores, side: Side, *, quick: bool) -> dict[str, Any]:
    """Send deliveries at a steady rate, before and during pruning; a prune that takes too long is aborted."""
    with machine.on(machine.SERVER):
        running = service(stores.folder, side.url, side.redis_url, ("web", "worker"), INBOX)
    with running as receiving:
        _send(receiving, side, 1)
        wait_until_done(side.reader, receiving)
        before = _send(receiving, side, QUICK_SECONDS if quick else BEFORE_SECONDS)
        old = _old(side)
        during, seconds, is_over = _send_while_pruning(stores, side, receiving, quick=quick)
        wait_until_done(side.reader, receiving)
    removed = old - _old(side)
    latencies = {"before": _latencies(before), "during": _latencies(during)}
    return {**latencies, "old": old, "removed": removed, "seconds": seconds, "is_over": is_over}


def _send_while_pruning(
    stores: Stores, side: Side, receiving: Service, *, quick: bool
) -> tuple[LoadMeasurement, float, bool]:
    measured, started = LoadMeasurement(), time.monotonic()
    until = started + (LONGEST_QUICK_SECONDS if quick else LONGEST_SECONDS)
    env = processes.environment({"DATABASE_URL": side.url, "REDIS_URL": side.redis_url, "KEEP_DONE_DAYS": KEEP_DAYS})
    with (stores.folder / "prune.log").open("wb") as out, machine.on(machine.SERVER):
        process = subprocess.Popen(shlex.split(PRUNE), env=env, cwd=stores.folder, stdout=out, stderr=out)
    try:
        while process.poll() is None and time.monotonic() < until:
            some = _send(receiving, side, QUICK_SECONDS if quick else SLICE_SECONDS)
            measured.statuses += some.statuses
            measured.milliseconds += some.milliseconds
        seconds, code = time.monotonic() - started, process.poll()
    finally:
        process.terminate()
        process.wait()
    if code:
        raise MeasurementFailed(f"the pruning failed: {(stores.folder / 'prune.log').read_text()[-2000:]}")
    return measured, seconds, code == 0


def _send(receiving: Service, side: Side, seconds: int) -> LoadMeasurement:
    sent = side.deliveries(RATE * seconds)
    measurement = receiving.send(sent, LINES, RATE)
    wait_until_done(side.reader, receiving)
    check(side.reader, sent)
    return measurement


def _old(side: Side) -> int:
    """Return the number of filled rows that remain."""
    filled = "SELECT count(*) FROM {} WHERE ended_at < (SELECT max(at) FROM booking_changes WHERE id <= ?)"
    return sum(side.reader.number(filled.format(table), [side.rows]) for table in ("deliveries", "notifications"))


def _latencies(measurement: LoadMeasurement) -> dict[str, float]:
    return {"p50": measurement.latency(50), "p99": measurement.latency(99), "max": max(measurement.milliseconds)}
