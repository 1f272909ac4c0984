"""The back room against its peers: the full work of a delivery, on both databases, deliveries per second."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.promises import Promise
    from benchmarks.rounds import Rounds
    from benchmarks.stores import Stores


def measure(stores: "Stores", rounds: "Rounds", *, quick: bool) -> dict[str, Any]:
    """All contestants in turn on each database."""
    from benchmarks.worker import comparison  # late: the peers' workers import this package, and need none of it

    return comparison.measure(stores, rounds, quick=quick)


def show(results: dict[str, Any]) -> str:
    """As Markdown."""
    from benchmarks.worker import report  # as above

    return report.show(results)


def promises(results: dict[str, Any]) -> "list[Promise]":
    """What is promised, and whether it is kept."""
    from benchmarks.worker import report  # as above

    return report.promises(results)
