"""The cost section of docs/performance.md."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.promises import Promise
from benchmarks.rounds import Figure
from benchmarks.stores import KINDS, NAMES, Kind

MOST_GROWTH = 0.1
"""Memory counts as flat if it grows by no more than this share from the first tenth of a backlog to its end."""

MOST_IDLE = 250.0
"""MB that `make run` may take, all its processes together."""
MB_PER_MIB = 1.048576

COLUMNS = {"RSS": 3, "PSS": 2}
"""Positions in a sample."""

INTRODUCTION = """\
Memory of each process in MiB. PSS is what a process adds to the machine: its own pages and its share of those that it
has in common with others, so these can be added up; RSS counts shared pages in each process anew. Idle is three seconds
after the start, the peak is the highest of two samples a second under a closed loop of deliveries.

For a user: the sum is what a machine or a container needs.
"""
FLAT = """\
One inbox worker processes a backlog. Its memory must not depend on the size of the backlog. RSS is what counts: PSS
also grows once, when Python's garbage collector first touches the pages that the worker shares with its parent.
"""
COUNTED = """\
Per delivery in the receiver, per batch in the worker, and for notifications whose sending costs nothing; the same on
both databases. `tests/receiver/test_cost.py` and `tests/worker/test_cost.py` count them, and fail if one is added.
"""


def show(results: Mapping[str, Any]) -> str:
    """Render Markdown."""
    parts = [
        _processes(results["processes"]),
        _all_in_one(results),
        _backlog(results["backlog"]),
        _counted(results["counted"]),
    ]
    return "\n".join(["## Cost", "", *(line for part in parts for line in part)])


def _processes(results: Mapping[Kind, Mapping[str, Mapping[str, Sequence[float]]]]) -> Iterator[str]:
    yield INTRODUCTION
    for kind in KINDS:
        yield f"| on {NAMES[kind]} | PSS idle | PSS peak | RSS idle | RSS peak |"
        yield "|---|---|---|---|---|"
        for name, said in results[kind].items():
            yield _row(name, *(said[when][which] for which in (0, 1) for when in ("idle", "peak")))
        sums = (sum(said[when][0] for said in results[kind].values()) for when in ("idle", "peak"))
        yield _row("**all together**", *sums) + " | |"
        yield ""


def _row(name: str, *figures: float) -> str:
    return f"| {name} | " + " | ".join(f"{figure:.0f}" for figure in figures) + (" |" if len(figures) == 4 else "")


def _all_in_one(results: Mapping[str, Any]) -> Iterator[str]:
    figures = ", ".join(f"{each.measured} on {NAMES[kind]}" for kind, each in zip(KINDS, _idle(results), strict=True))
    yield "`make run` imports everything once, and forks these processes and the dashboard. Idle, all of them take,"
    yield f"with their Redis: {figures}."
    yield ""


def _backlog(results: Mapping[Kind, Mapping[str, Any]]) -> Iterator[str]:
    yield "### A long backlog"
    yield ""
    yield FLAT
    yield "| on | deliveries | seconds | | at the start | after a tenth | peak | at the end | growth since | |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for kind in KINDS:
        yield from _flatness(kind, results[kind]["count"], results[kind]["samples"])
    yield ""


def _flatness(kind: Kind, count: int, samples: Sequence[Sequence[float]]) -> Iterator[str]:
    warm = _warm(count, samples)
    for name, column in COLUMNS.items():
        figures = (samples[0][column], warm[column], max(sample[column] for sample in samples), samples[-1][column])
        held = " | ".join(f"{figure:.1f}" for figure in figures)
        verdict = _promise(kind, count, samples).verdict if name == "RSS" else ""
        growth = figures[-1] / figures[1] - 1
        yield f"| {NAMES[kind]} | {count:,} | {samples[-1][0]:.0f} | {name} | {held} | {growth:+.1%} | {verdict} |"


def promises(results: Mapping[str, Any]) -> list[Promise]:
    """Return the targets: little memory when idle, and flat memory during a backlog, on each database."""
    backlog = results["backlog"]
    return _idle(results) + [_promise(kind, backlog[kind]["count"], backlog[kind]["samples"]) for kind in KINDS]


def _idle(results: Mapping[str, Any]) -> list[Promise]:
    return [
        Promise.at_most(
            f"Idle memory of all processes of `make run` ({NAMES[kind]})",
            MOST_IDLE,
            Figure((results["all_in_one"][kind] * MB_PER_MIB,)),
            "{:.0f} MB",
        )
        for kind in KINDS
    ]


def _promise(kind: Kind, count: int, samples: Sequence[Sequence[float]]) -> Promise:
    rss = COLUMNS["RSS"]
    growth = Figure((samples[-1][rss] / _warm(count, samples)[rss] - 1,))
    what = f"{count:,} waiting rows in flat memory: growth of RSS after the first tenth ({NAMES[kind]})"
    return Promise.at_most(what, MOST_GROWTH, growth, "{:.1%}")


def _warm(count: int, samples: Sequence[Sequence[float]]) -> Sequence[float]:
    """Return when the first tenth was done."""
    return next(sample for sample in samples if sample[1] >= count / 10)


def _counted(results: Mapping[str, Mapping[str, Sequence[int]]]) -> Iterator[str]:
    yield "### Queries and round trips"
    yield ""
    yield COUNTED
    yield "| | | statements | commits | round trips to Redis |"
    yield "|---|---|---|---|---|"
    for where, costs in results.items():
        for what, figures in costs.items():
            yield f"| {where} | {what} | " + " | ".join(f"{figure:,}" for figure in figures) + " |"
