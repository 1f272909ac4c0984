"""The comparison: all setups in turn, in rounds, on each database."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.bodies import bodies
from benchmarks.rounds import Rounds, packed
from benchmarks.stores import KINDS, Stores
from benchmarks.worker.setups import SETUPS, WorkerSetup
from benchmarks.worker.trial import RunFailed, WorkerTrial


def measure(stores: Stores, rounds: Rounds, *, quick: bool, names: Sequence[str] = tuple(SETUPS)) -> dict[str, Any]:
    """Run these setups; one that fails reports why and is not in the figures.

    Both cores are theirs and the stores'.
    """
    counts = {name: SETUPS[name].deliveries(quick=quick) for name in names}
    sample = bodies("worker", max(counts.values()))
    results: dict[str, Any] = {"counts": counts, "figures": {}, "failures": {}}
    with machine.on(*machine.CORES), stores.on(*machine.CORES):
        for kind in KINDS:
            failures: dict[str, str] = {}
            trial = WorkerTrial(stores, kind, sample)
            turns = {name: _turn(trial, SETUPS[name], counts[name], name, failures) for name in names}
            figures = rounds.alternate(turns)
            results["figures"][kind] = packed({key: each for key, each in figures.items() if key not in failures})
            results["failures"][kind] = failures
    return results


def _turn(
    trial: WorkerTrial, setup: WorkerSetup, count: int, name: str, failures: dict[str, str]
) -> Callable[[], dict[str, float]]:
    def turn() -> dict[str, float]:
        if name not in failures:
            try:
                return trial.run(setup, count)
            except RunFailed as failed:
                failures[name] = str(failed).partition("\n")[0]  # its log holds paths
                print(f"  {name} failed: {failed}")
        return {"rate": 0.0, "memory": 0.0}

    return turn
