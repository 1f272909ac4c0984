"""The measurement: who is fastest, how soon our door answers, whom a slow client slows, and where our time goes."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks.door.contestants import CONTESTANTS, Contestant, ours
from benchmarks.door.ladder import rungs
from benchmarks.door.slow import slow_clients
from benchmarks.door.trial import LINES, Trial, trial
from benchmarks.load import Volley
from benchmarks.rounds import Rounds, packed
from benchmarks.stores import KINDS, Stores, checkpoint
from receiver.settings import DEFAULT_THREADS

SLOW = {"alone": 0, "one slow client": 1, f"{DEFAULT_THREADS // 2} slow clients": DEFAULT_THREADS // 2}
"""With how many slow clients beside; half of the threads at most."""
FEW = LINES // 4


class Pace:
    """How long things are measured, in seconds.

    Args:
        quick: only whether it works.
    """

    def __init__(self, quick: bool) -> None:
        self.warm_up, self.closed, self.slow, self.half = (0.0, 0.2, 0.2, 0.3) if quick else (1.0, 4.0, 2.5, 10.0)


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """All figures, one value per round."""
    pace = Pace(quick)
    fewer = Rounds(math.ceil(rounds.count / 2), rounds.probes)
    say("The door: deliveries per second, 64 lines, each sends when it was answered")
    rates = rounds.alternate(
        {name: partial(_rate, contestant, stores, pace) for name, contestant in CONTESTANTS.items()}
    )
    say("The door: how soon it answers at half of its most, and beside slow clients")
    latency = rounds.alternate({ours(kind): partial(_latency, CONTESTANTS[ours(kind)], stores, pace) for kind in KINDS})
    say("The door: where its time goes, stage by stage")
    stages = fewer.alternate({name: partial(_stage, rung, stores, pace) for name, rung in rungs().items()})
    return {"rates": packed(rates), "latency": packed(latency), "stages": packed(stages)}


def say(what: str) -> None:
    """For whoever waits."""
    print(what, flush=True)


def _rate(contestant: Contestant, stores: Stores, pace: Pace) -> Mapping[str, float]:
    with trial(contestant, stores) as one:
        one.warm_up(pace.warm_up)
        return _figures(one.closed(pace.closed))


def _stage(contestant: Contestant, stores: Stores, pace: Pace) -> Mapping[str, float]:
    with trial(contestant, stores) as one:
        one.warm_up(pace.warm_up / 2)
        return {"per second": one.closed(pace.slow).rate}


def _latency(contestant: Contestant, stores: Stores, pace: Pace) -> Mapping[str, float]:
    """One process through all of it: its most, half of that for long, and both again beside slow clients."""
    with trial(contestant, stores) as one:
        one.warm_up(pace.warm_up)
        few = one.closed(pace.slow, FEW)
        most = one.closed(pace.slow).rate
        figures = {f"{FEW} lines: {key}": value for key, value in _figures(few).items()}
        checkpoint(one.url)
        for name, count in SLOW.items():
            seconds = pace.slow if count else pace.half
            heard = _beside(one, count, lambda seconds=seconds: one.open(seconds, most / 2))
            figures |= {f"half, {name}: {key}": value for key, value in _figures(heard).items()}
            figures[f"most, {name}: per second"] = _beside(one, count, lambda: one.closed(pace.slow)).rate
        return figures


def _beside(one: Trial, count: int, fire: Callable[[], Volley]) -> Volley:
    with slow_clients(one.server, one.path, count):
        return fire()


def _figures(volley: Volley) -> dict[str, float]:
    return {"per second": volley.rate, "p50 ms": volley.latency(50), "p99 ms": volley.latency(99)}
