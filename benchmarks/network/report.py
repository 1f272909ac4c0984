"""The section of docs/performance.md about several hosts, with the sizing table."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.network.measurement import COUNTERS, PLACES, WORKERS
from benchmarks.rounds import Figure, unpacked

TEMPLATE = Path(__file__).parent / "report.template.md"
COLUMNS = (*PLACES, *COUNTERS)
STAGES = ("receivers: 1", "workers: 1", "notifications: 1")
BASE, TIMES = 5, (1, 10, 100, 1_000)
"""Deliveries a second, and their multiples."""
USABLE, PEAK_TO_MEAN, MONTH_SECONDS = 0.5, 4, 30 * 24 * 3_600
SATURATED = 0.9
"""From this share of its time on, a core is busy: the rest is what the scheduler and the clock leave."""

Each = Mapping[str, Figure]


def show(results: Mapping[str, Any]) -> str:
    """Render Markdown."""
    if "skipped" in results:
        return f"## Past one machine\n\nNot measured: {results['skipped']}.\n"
    figures = unpacked(results["figures"])
    costs = [{column: figures[stage][column].median for column in COLUMNS} for stage in STAGES]
    total = {column: sum(cost[column] for cost in costs) for column in COLUMNS}
    top = BASE * TIMES[-1]
    return Template(TEMPLATE.read_text()).substitute(
        rates=_lines(_rates(figures)),
        columns=" | ".join(COLUMNS),
        alignment="---:|" * len(COLUMNS),
        costs=_lines([name, *(f"{each[column].median:,.0f}" for column in COLUMNS)] for name, each in figures.items()),
        usable=f"{USABLE:.0%}",
        most=max(WORKERS),
        sizes=_lines(sizes(BASE * times, costs, total) for times in TIMES),
        database=f"{total['PostgreSQL']:,.0f}",
        all=f"{sum(total[place] for place in PLACES if place != 'load'):,.0f}",
        ratio=f"{total['hosts'] / total['PostgreSQL']:.1f}",
        log=f"{total['log bytes']:,.0f}",
        stream=f"{total['log bytes'] * top / 1e6:,.0f}",
        top=f"{top:,}",
        redis=f"{total['Redis']:,.0f}",
    )


def sizes(rate: int, costs: Iterable[Mapping[str, float]], total: Mapping[str, float]) -> list[str]:
    """Return what a load needs, as cells: cores, MB/s of the log, and the rows of a month.

    Args:
        rate: deliveries a second, at the peak.
        costs: of a delivery at each stage.
        total: the sum of them.
    """
    needed = (*(cost["hosts"] for cost in costs), total["PostgreSQL"], total["Redis"])
    month = rate / PEAK_TO_MEAN * MONTH_SECONDS
    cores = (f"{rate * micros / 1e6 / USABLE:,.2f}" for micros in needed)
    log = f"{rate * total['log bytes'] / 1e6:,.2f}"
    return [f"{rate:,}", *cores, log, f"{month / 1e6:,.0f}", f"{month * total['row bytes'] / 1e9:,.0f}"]


def saturated(each: Each) -> str:
    """Return what limits a measurement: all cores, the one core that a process can use, or a wait."""
    most = max(PLACES, key=lambda place: each[place].median)
    if each["busy"].median >= SATURATED:
        share = each[most].median / sum(each[place].median for place in PLACES)
        return f"the cores; {share:.0%} of their time goes to {most}"
    if each[most].median * each["per second"].median >= SATURATED * 1e6:
        return f"one core, of {most}"
    return "no core: it waits, for the disk, a lock or others"


def _rates(figures: Mapping[str, Each]) -> Iterator[list[str]]:
    for name, each in figures.items():
        rate, one = each["per second"], figures.get(f"{name.partition(':')[0]}: 1")
        spread = f"{min(rate.values):,.0f} to {max(rate.values):,.0f}"
        beside = f"{rate.over(one['per second']).median:.2f} x" if one else ""
        yield [name, f"{rate.median:,.0f}", spread, beside, f"{each['busy'].median:.0%}", saturated(each)]


def _lines(rows: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
