"""Plots: charts as small SVG files in docs/performance/. Equal figures give equal bytes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from benchmarks.charts import Bars
from benchmarks.rounds import Figure

FOLDER = Path(__file__).parent.parent / "docs" / "performance"
OURS, OTHERS = "#0b6e4f", "#9aa5b1"
WIDTH, BAR, MARGIN = 8.0, 0.32, 1.0
"""In inches."""
STYLE = {
    "svg.hashsalt": "meetergo-inbox",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(charts: Sequence[Bars]) -> None:
    """Write a file for each chart."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for chart in charts:
            _bars(chart)
            plt.title(chart.title, loc="left", weight="bold")
            path = FOLDER / f"{chart.name}.svg"
            plt.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
            plt.close()
            path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _bars(chart: Bars) -> None:
    ranked = sorted(chart.figures.items(), key=lambda item: item[1].median)
    names, figures = [name for name, _ in ranked], [figure for _, figure in ranked]
    medians = [figure.median for figure in figures]
    _, axes = plt.subplots(figsize=(WIDTH, BAR * len(names) + MARGIN))
    colours = [OURS if name.startswith(chart.ours) else OTHERS for name in names]
    axes.barh(names, medians, color=colours, xerr=_spreads(figures), error_kw={"lw": 0.8, "capsize": 2})
    for row, figure in enumerate(figures):
        axes.annotate(
            chart.form.format(figure.median), (max(figure.values), row), (6, 0), textcoords="offset points", va="center"
        )
    if chart.is_log:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel(chart.unit + (" (logarithmic)" if chart.is_log else ""))


def _spreads(figures: Sequence[Figure]) -> list[list[float]]:
    below = [figure.median - min(figure.values) for figure in figures]
    above = [max(figure.values) - figure.median for figure in figures]
    return [below, above]
