"""The growth section of docs/performance.md."""

from collections.abc import Mapping
from typing import Any

from benchmarks.promises import Promise
from benchmarks.rounds import Figure, unpacked
from benchmarks.stores import KINDS, NAMES

MOST_GROWTH = 1.25
PLACES = {"receiver": "the receiver", "worker": "the worker"}
LONGEST_ANSWER_MS = 5_000.0
"""Target for the receiver's latency during pruning."""


def show(results: Mapping[str, Any]) -> str:
    """Render the tables, and each target with its measurement."""
    few, many = results["sizes"]["few"], results["sizes"]["many"]
    return "\n".join(
        [
            "## Growth",
            "",
            f"What a delivery costs with {few:,} and with {many:,} rows in `deliveries`, `bookings`,",
            "`booking_changes` and `notifications`, side by side on the same server. Half of the deliveries are about",
            "new bookings, half about any of those that are there. Cost is the inverse of the rate.",
            "The processor's time is that of our processes and of those that serve them in PostgreSQL. Where cost",
            "grows more, that is the disk: the index pages of a million ids in no order, each written twice.",
            "Each delivery changes something. PostgreSQL makes a checkpoint before the warm-up, which is long: after",
            "a checkpoint the first change of each page costs the whole page, and few rows soon have that behind them.",
            "",
            f"The {few:,} rows are put back before each turn, in which they become more: the table says how many",
            "`deliveries` each side held when its middle turn began. Then the files of its database are read once,",
            "as the memory of a server in use holds them, and PostgreSQL's autovacuum is waited for.",
            "",
            f"| | | deliveries/s, {few:,} rows | {many:,} rows | cost grows by | spread | processor, ms | | grows by "
            "| rows by then |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
            *(_row(results[kind], kind, place) for kind in KINDS for place in PLACES),
            "",
            f"Promised: at most {MOST_GROWTH} times. "
            + "; ".join(_growth_verdict(results[kind], kind, place) for kind in KINDS for place in PLACES)
            + ".",
            "",
            "What limits it: the ids of bookings are random, so a delivery changes leaves anywhere in five indexes.",
            "Of 1,000 rows, a batch of 100 deliveries shares them; of many it hardly ever does. Counted once by hand,",
            "in November 2026, in SQLite's log (its frames, with `wal_autocheckpoint=0`, named by `dbstat`): a",
            "delivery writes 3.1 pages of 4 KiB with 1,000 rows and 7.9 with 200,000, of which the indexes of",
            "`notifications`, `booking_changes` and `deliveries` on the booking, and of `bookings` on host and start,",
            "are 5. PostgreSQL (`pg_waldump --stats`) writes 31 records in both cases; what grows are images of whole",
            "pages (0.3 to 1.3) and the processor's time.",
            "",
            "Tried by hand and left out: on SQLite pages of 1 and 2 KiB, and a memory-mapped file (no difference",
            "beyond the noise), and checkpoints after 16 MiB instead of 4 (up to a tenth less of the worker's time,",
            "but one commit, of the receiver too, then writes four times as many pages); on PostgreSQL new bookings",
            "inserted with all their columns (a tenth, at the price of advisory locks, which a platform shares), and",
            "`bookings` without the index for the beginning of an id (no difference).",
            "",
            "A long backlog does not make it slower either. Deliveries processed per second at the",
            "beginning and at the end of one:",
            "",
            "| | deliveries that wait | first tenth | last tenth | cost grows by |",
            "|---|---:|---:|---:|---:|",
            *(_backlog_row(results[kind], kind) for kind in KINDS),
            "",
            "### Pruning",
            "",
            "What senders feel, at 50 deliveries a second, while `bin/inbox prune` removes all that is old:",
            "",
            "| | p50 before | p99 | max | p50 during | p99 | max | rows removed | a second |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
            *(_pruning_row(results[kind]["pruning"], kind) for kind in KINDS),
            "",
            "Promised: it does not stop the receiver. "
            + "; ".join(_pruning_verdict(results[kind]["pruning"], kind) for kind in KINDS)
            + ".",
            "",
        ]
    )


def promises(results: Mapping[str, Any]) -> list[Promise]:
    """Return each target with its measurement."""
    many = f"{results['sizes']['many']:,}"
    grown = [
        Promise.at_most(
            f"Cost of a delivery with {many} rows, {PLACES[place]} on {NAMES[kind]}",
            MOST_GROWTH,
            growth(results[kind], place),
        )
        for kind in KINDS
        for place in PLACES
    ]
    slowest = [
        Promise.at_most(
            f"Slowest answer while {many} rows are pruned, {NAMES[kind]}",
            LONGEST_ANSWER_MS,
            Figure((results[kind]["pruning"]["during"]["max"],)),
            "{:,.0f} ms",
        )
        for kind in KINDS
    ]
    return [*grown, *slowest]


def growth(results: Mapping[str, Any], place: str) -> Figure:
    """Return the cost with many rows relative to few, per round."""
    sides = unpacked(results[place])
    return sides["few"]["rate"].over(sides["many"]["rate"])


def _row(results: Mapping[str, Any], kind: str, place: str) -> str:
    sides, grown = unpacked(results[place]), growth(results, place)
    rates = [f"{sides[name]['rate'].median:,.0f}" for name in ("few", "many")]
    few, many = (sides[name]["processor"] for name in ("few", "many"))
    spread = f"{min(grown.values):.2f} to {max(grown.values):.2f}"
    processor = [f"{few.median:.2f}", f"{many.median:.2f}", f"{many.over(few).median:.2f} times"]
    then = " and ".join(f"{sides[name]['rows'].median:,.0f}" for name in ("few", "many"))
    cells = [NAMES[kind], PLACES[place], *rates, f"{grown.median:.2f} times", spread, *processor, then]  # type: ignore[index]
    return f"| {' | '.join(cells)} |"


def _growth_verdict(results: Mapping[str, Any], kind: str, place: str) -> str:
    grown = growth(results, place).median
    said = f"measured {grown:.2f} times"
    verdict = f"kept ({said})" if grown <= MOST_GROWTH else f"**missed**: {said}, promised {MOST_GROWTH} times"
    return f"{NAMES[kind]}, {PLACES[place]}: {verdict}"  # type: ignore[index]


def _backlog_row(results: Mapping[str, Any], kind: str) -> str:
    waiting, figures = results["backlog"]["waiting"], unpacked({"backlog": results["backlog"]["backlog"]})["backlog"]
    first, last = figures["first"], figures["last"]
    grown = first.over(last).median
    return f"| {NAMES[kind]} | {waiting:,} | {first.median:,.0f} | {last.median:,.0f} | {grown:.2f} times |"  # type: ignore[index]


def _pruning_row(results: Mapping[str, Any], kind: str) -> str:
    latencies = [f"{results[when][what]:.1f} ms" for when in ("before", "during") for what in ("p50", "p99", "max")]
    a_second = f"{results['removed'] / results['seconds']:,.0f}"
    whole = f"{results['removed']:,}" if results["is_over"] else f"{results['removed']:,} of {results['old']:,}"
    return f"| {' | '.join([NAMES[kind], *latencies, whole, a_second])} |"  # type: ignore[index]


def _pruning_verdict(results: Mapping[str, Any], kind: str) -> str:
    longest = results["during"]["max"]
    said = f"all were answered 200, the slowest after {longest:,.0f} ms"
    return f"{NAMES[kind]}: {'kept' if longest < LONGEST_ANSWER_MS else '**missed**'}, {said}"  # type: ignore[index]
