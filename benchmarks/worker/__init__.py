"""The worker beside other job systems: complete processing of deliveries, on both databases, per second."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.promises import Promise
    from benchmarks.rounds import Rounds
    from benchmarks.stores import Stores


def measure(stores: "Stores", rounds: "Rounds", *, quick: bool) -> dict[str, Any]:
    """Measure all setups in turn on each database."""
    from benchmarks.worker import comparison  # late: the peers' workers import this package, and need none of it

    return comparison.measure(stores, rounds, quick=quick)


def show(results: dict[str, Any]) -> str:
    """Render Markdown."""
    from benchmarks.worker import report  # as above

    return report.show(results)


def promises(results: dict[str, Any]) -> "list[Promise]":
    """Return each target and whether it is met."""
    from benchmarks.worker import report  # as above

    return report.promises(results)
