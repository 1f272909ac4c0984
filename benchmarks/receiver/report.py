"""The receiver section of docs/performance.md."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.promises import Promise
from benchmarks.receiver import targets
from benchmarks.receiver.measurement import FEW, LINES, MISSING, SLOW, TURNS
from benchmarks.receiver.setups import SETUPS, ours
from benchmarks.receiver.stages import STAGES
from benchmarks.receiver.targets import HALF, MOST, P50, P99, RATE, added, costs
from benchmarks.rounds import Figure, unpacked
from benchmarks.stores import KINDS, NAMES, Kind

TEMPLATE = Path(__file__).parent / "report.template.md"
MEANINGS = {"": "nothing", "later": "nothing yet", "rows": "a committed row", "webhooks": "a committed row"}


def promises(results: Mapping[str, Any]) -> list[Promise]:
    """Return each target of the receiver with its measurement."""
    return targets.promises(unpacked(results["rates"]), unpacked(results["latency"]))


def show(results: Mapping[str, Any]) -> str:
    """Render the section in Markdown."""
    rates, latency, stages = (unpacked(results[key]) for key in ("rates", "latency", "stages"))
    return Template(TEMPLATE.read_text()).substitute(
        lines=LINES,
        few=FEW,
        slow=max(SLOW.values()),
        turns=TURNS,
        rates=_rows((*_rates(rates), *_failures(results.get("failures", {})))),
        why=_rows((f"| {name} | {each.why} |" for name, each in SETUPS.items())),
        latency=_rows(_latency(latency)),
        crowd=_with_few(latency),
        stages="\n\n".join(_stages(kind, stages) for kind in KINDS),
        flask=f"{added(stages):,.0f}",
    )


def _rates(rates: Mapping[str, Mapping[str, Figure]]) -> Iterable[str]:
    ranked = sorted(rates, key=lambda name: rates[name][RATE].median, reverse=True)
    for name in ranked:
        each = rates[name]
        ratios = (f"{rates[ours(kind)][RATE].over(each[RATE]).median:.2f}" for kind in KINDS)
        kept = MEANINGS.get(SETUPS[name].stores_in, "a job in Redis")
        if MISSING in each:
            kept += f": {each[MISSING].median:,.0f} bookings were missing after the last"
        yield _row(name, kept, _number(each[RATE]), f"{each[P50].median:.1f}", f"{each[P99].median:.1f}", *ratios)


def _failures(failures: Mapping[str, str]) -> Iterable[str]:
    yield from (_row(name, f"no figure: {why}", *[""] * 5) for name, why in failures.items())


def _latency(latency: Mapping[str, Mapping[str, Figure]]) -> Iterable[str]:
    for kind in KINDS:
        each = latency[ours(kind)]
        for beside in SLOW:
            half = [each[HALF.format(beside) + key] for key in (RATE, P50, P99)]
            yield _row(
                NAMES[kind],
                *(beside, _number(each[MOST.format(beside)]), _number(half[0])),
                *(f"{half[1].median:.1f}", _spread(half[2], "{:.1f}")),
            )


def _with_few(latency: Mapping[str, Mapping[str, Figure]]) -> str:
    said = []
    for kind in KINDS:
        rate, slowest = (latency[ours(kind)][f"{FEW} lines: {key}"].median for key in (RATE, P99))
        said.append(f"{rate:,.0f} a second (p99 {slowest:.0f} ms) on {NAMES[kind]}")
    return " and ".join(said)


def _stages(kind: Kind, stages: Mapping[str, Mapping[str, Figure]]) -> str:
    found = costs(stages, kind)
    whole = sum(figure.median for figure in found.values())
    lines = [f"| {NAMES[kind]} | µs per delivery | share | |", "|---|---:|---:|---|"]
    for name, figure in found.items():
        stage = STAGES[name]
        lines.append(_row(stage.title, _spread(figure, "{:,.0f}"), f"{figure.median / whole:.0%}", stage.what))
    return "\n".join([*lines, _row("all", f"{whole:,.0f}", "", f"{1e6 / whole:,.0f} deliveries per second")])


def _number(figure: Figure) -> str:
    return f"{figure.median:,.0f} ± {figure.spread / 2:.0%}"


def _spread(figure: Figure, form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(figure.values), figure.median, max(figure.values)))
    return f"{middle} ({low} to {high})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(lines: Iterable[str]) -> str:
    return "\n".join(lines)
