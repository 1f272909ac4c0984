"""The end-to-end section of docs/performance.md."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.journey.sustained import ROWS, SHARES
from benchmarks.promises import Promise
from benchmarks.rounds import Figure
from benchmarks.stores import KINDS, NAMES, Kind
from devtools.send.load import percentile

MOST_P50, MOST_P99 = 15.0, 40.0
"""Milliseconds."""
PARTS = ("receiver", "worker", "notifications", "load")
COST_COLUMNS = (*PARTS, "all", "the limit", "receiver alone", "worker alone")
LOAD_COLUMNS = (
    "",
    "sent",
    "for",
    "backlog grows by",
    "backlog at the end",
    "processed in",
    "pending notifications grow by",
    "p99 of the receiver",
    "holds",
)


def show(results: Mapping[str, Any]) -> str:
    """Render the tables, and each target with its measurement."""
    return "\n".join(
        [
            "## From the webhook to the booking",
            "",
            "Receiver, worker and cron as the `Procfile` starts them, at 5 deliveries a second: from the",
            "moment at which a delivery is to leave until another connection sees its booking. This is how fresh the",
            "platform's page is.",
            "",
            "| | deliveries | p50 | p99 | slowest | p50 of the rounds | p99 of the rounds |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(_latency_row(results[kind]["latency"], kind) for kind in KINDS),
            "",
            f"Promised: p50 under {MOST_P50:.0f} ms, p99 under {MOST_P99:.0f} ms. "
            + "; ".join(_latency_verdict(results[kind]["latency"], kind) for kind in KINDS)
            + ".",
            "",
            "## Sustained load",
            "",
            "Each part was measured by itself first, on one core with its stores: the processor's time that a",
            "delivery costs there, with that of PostgreSQL and Redis. If nothing ever waited, all cores of this",
            "machine could do as many deliveries as they have seconds for: that is the limit.",
            "",
            f"| µs of processor for each delivery: | {' | '.join(COST_COLUMNS)} |",
            f"|---|{'---:|' * len(COST_COLUMNS)}",
            *(_cost_row(results[kind]["sustained"], kind) for kind in KINDS),
            "",
            "Then everything together is given a share of that: receiver, worker, the sender of notifications, cron,",
            "Redis, the database and the load share all cores of this machine, and the backlog is counted each second.",
            "On PostgreSQL the worker has a process of each queue for each core (`-n`); SQLite has one writer, and the",
            "worker's default. Each time the database has been in use for a while: it holds",
            f"{ROWS:,} bookings.",
            "",
            f"| {' | '.join(LOAD_COLUMNS)} |",
            "|---" * len(LOAD_COLUMNS) + "|",
            *(_load_row(results[kind]["sustained"], kind) for kind in KINDS),
            "",
            "Promised: the backlog does not grow for a minute. "
            + "; ".join(_load_verdict(results[kind]["sustained"], kind) for kind in KINDS)
            + ".",
            "",
            "What limits SQLite: it has one writer at a time. By hand: at 1,500 a second its lock is always held, 0.6",
            "s of each second by the inbox worker and 0.2 s each by the receiver and the sender of notifications.",
            "Bodies are parsed before it is taken. With 256 connections instead of 64 the receiver keeps up (p99 0.2",
            "s), and the backlog grows, as it does with batches of 50 deliveries instead of 100 (p99 0.1 s). Tried",
            "and left out: checkpoints after 4,000 and 10,000 pages instead of 1,000, and writers that ask for the",
            "lock more often, or get it in the order in which they came (no difference).",
            "",
        ]
    )


def promises(results: Mapping[str, Any]) -> list[Promise]:
    """Return each target with its measurement."""
    return [promise for kind in KINDS for promise in _promises(results[kind], kind)]


def _promises(results: Mapping[str, Any], kind: Kind) -> Iterator[Promise]:
    for name, most in (("p50", MOST_P50), ("p99", MOST_P99)):
        what = f"From the webhook to a visible booking on {NAMES[kind]}, {name}"
        yield Promise.at_most(what, most, Figure(tuple(results["latency"][name])), "{:.1f} ms")
    what = f"Load that holds on {NAMES[kind]}, of the limit of this machine's processors"
    yield Promise.at_least(what, SHARES[kind], Figure((results["sustained"]["highest"],)), "{:.0%}")


def _latency_row(results: Mapping[str, Any], kind: str) -> str:
    seen = sorted(results["milliseconds"])
    felt = [f"{each:.1f} ms" for each in (percentile(seen, 50), percentile(seen, 99), seen[-1])]
    spread = [f"{min(results[name]):.1f} to {max(results[name]):.1f} ms" for name in ("p50", "p99")]
    return f"| {' | '.join([NAMES[kind], str(len(seen)), *felt, *spread])} |"  # type: ignore[index]


def _latency_verdict(results: Mapping[str, Any], kind: str) -> str:
    seen = sorted(results["milliseconds"])
    p50, p99 = percentile(seen, 50), percentile(seen, 99)
    kept = p50 < MOST_P50 and p99 < MOST_P99
    said = f"measured {p50:.1f} and {p99:.1f} ms"
    return f"{NAMES[kind]}: kept, {said}" if kept else f"{NAMES[kind]}: **missed**, {said}"  # type: ignore[index]


def _cost_row(results: Mapping[str, Any], kind: str) -> str:
    costs, limits = results["costs"], results["limits"]
    spent = (f"{cost * 1e6:,.0f}" for cost in (*(costs[part] for part in PARTS), sum(costs.values())))
    rates = (f"{rate:,.0f}/s" for rate in (results["limit"], limits["receiver"], limits["worker"]))
    return f"| {' | '.join([NAMES[kind], *spent, *rates])} |"  # type: ignore[index]


def _load_row(results: Mapping[str, Any], kind: str) -> str:
    whole = results["whole"]
    cells = [
        NAMES[kind],  # type: ignore[index]
        f"{whole['rate']:,.0f}/s ({whole['share']:.0%})",
        f"{whole['seconds']} s",
        f"{whole['slope']:+,.1f}/s",
        f"{whole['left']:,}",
        f"{whole['drained']:.1f} s",
        f"{whole['notifications']:+,.1f}/s",
        f"{whole['p99']:,.0f} ms",
        f"{'yes' if whole['holds'] else 'no'}; {results['highest'] * results['limit']:,.0f}/s is the highest",
    ]
    return f"| {' | '.join(cells)} |"


def _load_verdict(results: Mapping[str, Any], kind: str) -> str:
    whole, share = results["whole"], results["highest"]
    verdict = "kept" if whole["holds"] else "**missed**"
    return (
        f"{NAMES[kind]}: {verdict} at {whole['rate']:,.0f} a second ({whole['share']:.0%} of the limit); the highest "  # type: ignore[index]
        f"load that held, for {results['trials'][0]['seconds']} s or more, was "
        f"{share * results['limit']:,.0f} a second ({share:.0%})"
    )
