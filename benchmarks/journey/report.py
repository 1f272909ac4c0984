"""The end-to-end section of docs/performance.md."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.journey.sustained import ROWS
from benchmarks.promises import Promise
from benchmarks.rounds import Figure
from benchmarks.stores import KINDS, NAMES, Kind
from devtools.send.load import percentile

MOST_P50, MOST_P99 = 30.0, 150.0
"""Milliseconds."""
LOAD_COLUMNS = (
    "",
    "receiver alone",
    "worker alone",
    "together",
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
            "The receiver and the worker were measured by themselves first, each on one core with its stores. Then",
            "everything together is given as much as the slower of the two can do: receiver, worker, the sender of",
            "notifications, cron, Redis, the database and the load share all cores of this machine, and the backlog is",
            f"counted every second. Each time the database has been in use for a while: it holds {ROWS:,} bookings.",
            "",
            f"| {' | '.join(LOAD_COLUMNS)} |",
            "|---" * len(LOAD_COLUMNS) + "|",
            *(_load_row(results[kind]["sustained"], kind) for kind in KINDS),
            "",
            "Promised: at the lower of the two limits the backlog does not grow. "
            + "; ".join(_load_verdict(results[kind]["sustained"], kind) for kind in KINDS)
            + ".",
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
    whole = results["sustained"]["whole"]
    share = Figure((results["sustained"]["highest"] / whole["rate"],))
    what = f"Load that holds on {NAMES[kind]}, of the lower of the two limits"
    yield Promise.at_least(what, 1.0, share, "{:.0%}")


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


def _load_row(results: Mapping[str, Any], kind: str) -> str:
    whole = results["whole"]
    cells = [
        NAMES[kind],  # type: ignore[index]
        *(f"{results['limits'][half]:,.0f}/s" for half in ("receiver", "worker")),
        f"{whole['rate']:,.0f}/s",
        f"{whole['seconds']} s",
        f"{whole['slope']:+,.1f}/s",
        f"{whole['left']:,}",
        f"{whole['drained']:.1f} s",
        f"{whole['notifications']:+,.1f}/s",
        f"{whole['p99']:,.0f} ms",
        "yes" if whole["holds"] else f"no; {results['highest']:,.0f}/s does",
    ]
    return f"| {' | '.join(cells)} |"


def _load_verdict(results: Mapping[str, Any], kind: str) -> str:
    whole, name = results["whole"], NAMES[kind]  # type: ignore[index]
    if whole["holds"]:
        return f"{name}: kept at {whole['rate']:,.0f} a second"
    share = results["highest"] / whole["rate"]
    return (
        f"{name}: **missed** at {whole['rate']:,.0f} a second, with all of it on the cores of one machine; the highest "
        f"load that held for {results['trials'][0]['seconds']} s was {results['highest']:,.0f} a second ({share:.0%})"
    )
