"""Measurements: throughput beside others, latency with and without slow clients, and the cost of each stage."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

from benchmarks.load import LoadMeasurement
from benchmarks.receiver.setups import SETUPS, ReceiverSetup, ours
from benchmarks.receiver.slow_clients import slow_clients
from benchmarks.receiver.stages import stage_setups
from benchmarks.receiver.trial import LINES, ReceiverTrial, trial
from benchmarks.rounds import Rounds, packed
from benchmarks.stores import KINDS, Stores, checkpoint
from receiver.settings import DEFAULT_THREADS

SLOW = {"alone": 0, "one slow client": 1, f"{DEFAULT_THREADS // 2} slow clients": DEFAULT_THREADS // 2}
"""Numbers of slow clients; at most half of the threads."""
TURNS = 3
"""The maximum beside slow clients is the median of so many turns."""
FEW = LINES // 4
MISSING = "missing"
"""New bookings that were answered but not stored when the last answer came."""


class Durations:
    """Durations of the measurements, in seconds.

    Args:
        quick: only whether it works.
    """

    def __init__(self, quick: bool) -> None:
        self.warm_up, self.closed, self.slow, self.half = (0.0, 0.2, 0.2, 0.3) if quick else (1.0, 4.0, 2.5, 10.0)
        self.turn = self.slow / 2


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Measure everything; one value per round."""
    durations = Durations(quick)
    fewer = Rounds(math.ceil(rounds.count / 2), rounds.probes)
    announce("The receiver: deliveries per second, 64 connections, closed loop")
    rates = rounds.alternate({name: partial(_rate, setup, stores, durations) for name, setup in SETUPS.items()})
    announce("The receiver: latency at half of its maximum, and beside slow clients")
    latency = rounds.alternate({ours(kind): partial(_latency, SETUPS[ours(kind)], stores, durations) for kind in KINDS})
    announce("The receiver: the cost of each stage")
    stages = fewer.alternate(
        {name: partial(_stage, stage_name, stores, durations) for name, stage_name in stage_setups().items()}
    )
    return {
        "rates": packed(rates),
        "latency": packed(latency),
        "stages": packed(stages),
        "failures": {name: why for name, why in rounds.failures.items() if name in SETUPS},
    }


def announce(what: str) -> None:
    """Print progress."""
    print(what, flush=True)


def _rate(setup: ReceiverSetup, stores: Stores, durations: Durations) -> Mapping[str, float]:
    with trial(setup, stores) as trial_run:
        trial_run.warm_up(durations.warm_up)
        figures = _figures(trial_run.closed(durations.closed))
        return figures | ({MISSING: trial_run.missing()} if setup.stores_in == "later" else {})


def _stage(setup: ReceiverSetup, stores: Stores, durations: Durations) -> Mapping[str, float]:
    with trial(setup, stores) as trial_run:
        trial_run.warm_up(durations.warm_up / 2)
        return {"per second": trial_run.closed(durations.slow).rate}


def _latency(setup: ReceiverSetup, stores: Stores, durations: Durations) -> Mapping[str, float]:
    """Measure one process: half of its maximum, and its maximum, alone and beside slow clients."""
    with trial(setup, stores) as trial_run:
        trial_run.warm_up(durations.warm_up)
        few = trial_run.closed(durations.slow, FEW)
        most = trial_run.closed(durations.slow).rate
        figures = {f"{FEW} lines: {key}": value for key, value in _figures(few).items()}
        checkpoint(trial_run.url)
        for name, count in SLOW.items():
            seconds = durations.slow if count else durations.half
            measured = _with_slow_clients(trial_run, count, lambda seconds=seconds: trial_run.open(seconds, most / 2))
            figures |= {f"half, {name}: {key}": value for key, value in _figures(measured).items()}
        return figures | _most(trial_run, durations.turn)


def _most(trial_run: ReceiverTrial, seconds: float) -> dict[str, float]:
    """Measure the maximum beside each number of slow clients in turns: the disk is not equally fast at all times."""
    turns = [
        {
            name: _with_slow_clients(trial_run, count, lambda: trial_run.closed(seconds)).rate
            for name, count in SLOW.items()
        }
        for _ in range(TURNS)
    ]
    return {f"most, {name}: per second": median(turn[name] for turn in turns) for name in SLOW}


def _with_slow_clients(
    trial_run: ReceiverTrial, count: int, send_load: Callable[[], LoadMeasurement]
) -> LoadMeasurement:
    with slow_clients(trial_run.server, trial_run.path, count):
        return send_load()


def _figures(measurement: LoadMeasurement) -> dict[str, float]:
    return {"per second": measurement.rate, "p50 ms": measurement.latency(50), "p99 ms": measurement.latency(99)}
