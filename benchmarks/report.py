"""The report: docs/performance.md and its plots, from the saved results."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

from benchmarks import charts, machine, parts
from benchmarks.parts import PARTS, Measured
from benchmarks.promises import Promise

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
TEMPLATE = Path(__file__).parent / "performance.template.md"
MIN_PROBES = 2
"""Minimum number of rounds for a spread."""


def write() -> list[Promise]:
    """Write the page and the plots.

    Returns:
        All promises, kept or not.
    """
    from benchmarks import plots  # late: only drawing needs this library

    measured = {part: each for part in PARTS if (each := Measured.load(part))}
    plots.draw([chart for part, each in measured.items() for chart in charts.of(part, each.results)])
    promises = [promise for part, each in measured.items() for promise in parts.promises(part, each.results)]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(
        Template(TEMPLATE.read_text()).substitute(
            promises="\n".join(map(_row, promises)),
            verdict=_verdict(promises),
            machine="\n".join(_machine(measured)),
            noise="\n".join(_noise(part, each) for part, each in measured.items()),
            pieces="\n\n".join(_piece(part, each) for part, each in measured.items()),
            missing=_missing(measured),
        )
    )
    return promises


def _row(promise: Promise) -> str:
    cells = (promise.what, promise.promised, promise.measured, promise.spread, promise.verdict)
    return f"| {' | '.join(cells)} |"


def _verdict(promises: list[Promise]) -> str:
    if not promises:
        return "Nothing was measured yet."
    kept = sum(promise.kept is True for promise in promises)
    if kept == len(promises):
        return f"All {kept} promises are kept."
    return f"{kept} of {len(promises)} promises are kept; those that are not say so."


def _machine(measured: Mapping[str, Measured]) -> list[str]:
    """Describe the machine; several if parts were measured on different ones."""
    described: dict[str, list[str]] = {}
    for part, each in measured.items():
        command_line = ", ".join(f"{key}: {value}" for key, value in each.machine.items())
        described.setdefault(command_line, []).append(part)
    if len(described) == 1:
        return list(described)
    return [f"- {', '.join(names)}: {command_line}" for command_line, names in described.items()]


def _noise(part: str, each: Measured) -> str:
    noise = f"{machine.noise(each.probes):.1%}" if len(each.probes) >= MIN_PROBES else "not known"
    return f"| {part} | {each.on} | {each.rounds} | {each.seconds / 60:.0f} | {noise} |"


def _piece(part: str, each: Measured) -> str:
    drawn = (f"\n\n![{chart.title}](performance/{chart.name}.svg)" for chart in charts.of(part, each.results))
    return parts.show(part, each.results) + "".join(drawn)


def _missing(measured: Mapping[str, Measured]) -> str:
    missing = [part for part in PARTS if part not in measured]
    return f"\nNot measured yet: {', '.join(missing)}.\n" if missing else ""
