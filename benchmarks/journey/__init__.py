"""End to end: from a POST to a visible booking, and how many of them per second can be sustained."""

from typing import Any

from benchmarks import machine
from benchmarks.journey import report
from benchmarks.journey.latency import latency
from benchmarks.journey.sustained import sustained
from benchmarks.promises import Promise
from benchmarks.rounds import Rounds
from benchmarks.stores import KINDS, Stores
from benchmarks.stores import stores as open_stores


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Measure everything on each database. Receiver, worker, cron, stores and load share all cores."""
    with machine.on(*machine.CORES), open_stores() as unpinned:
        return {
            kind: {
                "latency": latency(unpinned, kind, rounds, quick=quick),
                "sustained": sustained(unpinned, kind, quick=quick),
            }
            for kind in KINDS
        }


def show(results: dict[str, Any]) -> str:
    """Render Markdown."""
    return report.show(results)


def promises(results: dict[str, Any]) -> list[Promise]:
    """Return each target with its measurement."""
    return report.promises(results)
