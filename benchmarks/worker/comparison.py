"""The comparison: all setups in turn, in rounds, on each database."""

from functools import partial
from typing import Any

from benchmarks import machine
from benchmarks.bodies import bodies
from benchmarks.rounds import Rounds, packed
from benchmarks.stores import KINDS, Stores
from benchmarks.worker.setups import SETUPS
from benchmarks.worker.trial import WorkerTrial


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Run all setups; one that fails reports why and is not in the figures."""
    counts = {name: setup.deliveries(quick=quick) for name, setup in SETUPS.items()}
    sample = bodies("worker", max(counts.values()))
    results: dict[str, Any] = {"counts": counts, "figures": {}, "failures": {}}
    with machine.on(*machine.CORES), stores.on(*machine.CORES):
        for kind in KINDS:
            of_kind, trial = Rounds(rounds.count, rounds.probes), WorkerTrial(stores, kind, sample)
            turns = {
                name: partial(trial.run, setup, counts[name]) for name, setup in SETUPS.items() if kind in setup.kinds
            }
            results["figures"][kind] = packed(of_kind.alternate(turns))
            results["failures"][kind] = of_kind.failures
    return results
