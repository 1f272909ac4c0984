"""The worker section of docs/performance.md."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.promises import Promise
from benchmarks.rounds import Figure, unpacked
from benchmarks.stores import KINDS, NAMES, Kind
from benchmarks.worker.setups import ALONE, BULLMQ, FORK, HOOKED, LOOP, ONE, SETUPS, SIMPLE, TWO

Figures = Mapping[str, Mapping[str, Figure]]

HOOKED_RATE = 1_200
NOISE = 0.95
"""Two processes must reach this share of one process's rate: SQLite has one writer; one may keep two cores busy."""

INTRODUCTION = """\
Deliveries per second, processed completely: body parsed, booking merged, change recorded, notification inserted,
delivery done. All systems in Python call the same function on equally filled databases, with their jobs enqueued before
they start; the first tenth is start-up and does not count. Both cores are theirs and the stores'. After each run every
delivery must be done and every booking must agree with its last delivery; a system that fails this has no figure. Ours
processes what is due in batches after one trigger; the others have one job per delivery.

The work is the same for all systems in Python, and bodies are encrypted, as in production, except in the line that says
otherwise. BullMQ's is what a platform in Node would write by hand: its transaction records the delivery, finds the
host, locks and merges the booking, and inserts the change and the notification, in tables of its own. It decrypts and
validates nothing, and does not keep the body.

For a user: this is how fast a backlog shrinks after an outage or a replay, and how many hosts one machine carries.
"""


def show(results: dict[str, Any]) -> str:
    """Render Markdown."""
    return "\n".join(["## The worker", "", INTRODUCTION, *_tables(results), *_configurations(), *_kept(results)])


def _tables(results: dict[str, Any]) -> Iterator[str]:
    for kind in KINDS:
        figures = unpacked(results["figures"][kind])
        yield f"### {NAMES[kind]}"
        yield ""
        yield "| | deliveries/s | least to most | of the loop | deliveries a run | memory after it, all processes |"
        yield "|---|---|---|---|---|---|"
        for name in sorted(figures, key=lambda name: -figures[name]["rate"].median):
            yield _row(name, figures, results["counts"][name])
        yield from (_failure(name, why) for name, why in results["failures"][kind].items())
        yield ""


def _row(name: str, figures: Figures, count: int) -> str:
    rate = figures[name]["rate"]
    share = f"{rate.over(figures[LOOP]['rate']).median:.1%}" if LOOP in figures else ""
    spread = f"{min(rate.values):,.0f} to {max(rate.values):,.0f}"
    held = f"{figures[name]['memory'].median:.0f} MiB"
    return f"| {SETUPS[name].label} | {rate.median:,.0f} | {spread} | {share} | {count:,} | {held} |"


def _failure(name: str, why: str) -> str:
    return f"| {SETUPS[name].label} | failed: {' '.join(why.split())[:300].replace('|', '/')} | | | | |"


def _configurations() -> Iterator[str]:
    yield "How each is configured:"
    yield ""
    for each in SETUPS.values():
        tried = f" Tried (PostgreSQL/SQLite): {each.tried}." if each.tried else ""
        yield f"- {each.label}: {each.why}.{tried}"
    yield ""


def _kept(results: dict[str, Any]) -> Iterator[str]:
    yield "| promise | promised | measured | spread | verdict |"
    yield "|---|---:|---:|---:|---|"
    for each in promises(results):
        yield f"| {each.what} | {each.promised} | {each.measured} | {each.spread} | {each.verdict} |"
    yield ""
    yield f"Ratios are taken round by round. On SQLite, which has one writer, “not slower” means {NOISE} times or more."


def promises(results: dict[str, Any]) -> list[Promise]:
    """Return each target of the worker, on each database."""
    return [promise for kind in KINDS for promise in _promises(kind, unpacked(results["figures"][kind]))]


def _promises(kind: Kind, figures: Figures) -> Iterator[Promise]:
    rates = {name: each["rate"] for name, each in figures.items()}
    peers = [name for name in rates if SETUPS[name].counts_as_peer]
    best = max(peers, key=lambda name: rates[name].median, default="")
    best_label = SETUPS[best].label if best else "none measured"
    if kind == "postgresql":
        better = max((ONE, TWO), key=lambda name: rates[name].median if name in rates else 0.0)
        words = "two processes" if better == TWO else "one process"
        yield _ratio(kind, rates, f"{words} to a BullMQ worker, on the same two cores", better, BULLMQ, 1.0)
        yield _ratio(kind, rates, "two processes on two cores to one on one", TWO, ALONE, 1.5)
    yield Promise.at_least(f"worker, {NAMES[kind]}: with a hook", HOOKED_RATE, rates.get(HOOKED), "{:,.0f}/s")
    for what, ours, theirs, least in (
        ("one process to a stock `rq worker`", ONE, FORK, 50),
        ("one process to an RQ `SimpleWorker`", ONE, SIMPLE, 10),
        (f"two processes to the best of the peers, {best_label}", TWO, best, 2),
        ("one process to a plain loop", ONE, LOOP, 0.4),
        ("one process with a hook to one without", HOOKED, ONE, 0.35),
        ("two processes to one, both on two cores", TWO, ONE, NOISE),
    ):
        yield _ratio(kind, rates, what, ours, theirs, least)


def _ratio(kind: Kind, rates: Mapping[str, Figure], what: str, ours: str, theirs: str, least: float) -> Promise:
    figure = rates[ours].over(rates[theirs]) if ours in rates and theirs in rates else None
    return Promise.at_least(f"worker, {NAMES[kind]}: {what}", least, figure)
