"""Growth: the cost of a delivery after a million others, with a long backlog, and during pruning."""

from typing import Any

from benchmarks import machine
from benchmarks.growth import report
from benchmarks.growth.backlog import backlog
from benchmarks.growth.pruning import pruning
from benchmarks.growth.sides import Size, measure_sides, open_sides
from benchmarks.promises import Promise
from benchmarks.rounds import Rounds, unpacked
from benchmarks.stores import KINDS, Stores

FEW, MANY, MANY_QUICK = 1_000, 1_000_000, 20_000


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Measure both sizes side by side on each database, then prune the larger one."""
    sizes: dict[Size, int] = {"few": FEW, "many": MANY_QUICK if quick else MANY}
    results: dict[str, Any] = {"sizes": sizes}
    for kind in KINDS:
        with machine.on(machine.LOAD), open_sides(stores, kind, sizes) as sides:
            filled = {name: side.fill() for name, side in sides.items()}
            measured = measure_sides(sides, rounds, quick=quick)
            rate = unpacked(measured["worker"])["few"]["rate"].median
            results[kind] = {
                "filled_in_seconds": filled,
                **measured,
                "pruning": pruning(stores, sides["many"], quick=quick),
                "backlog": backlog(stores, kind, rate, rounds, quick=quick),
            }
    return results


def show(results: dict[str, Any]) -> str:
    """Render Markdown."""
    return report.show(results)


def promises(results: dict[str, Any]) -> list[Promise]:
    """Return each target with its measurement."""
    return report.promises(results)
