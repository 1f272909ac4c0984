"""Small charts as SVG paths, drawn on the server: no script, and no style that the CSP refuses."""

from collections.abc import Sequence
from dataclasses import dataclass

from operations.overview.charts import Charts

WIDTH, HEIGHT, MARGIN = 300, 56, 4


@dataclass(frozen=True)
class Drawing:
    """The paths of one chart, within WIDTH x HEIGHT.

    Attributes:
        line: the line.
        area: the area below it.
    """

    line: str
    area: str


def draw(charts: Charts) -> dict[str, Drawing]:
    """Draw all charts of the home page."""
    durations = [took.total_seconds() if took else 0.0 for took in charts.durations.p99]
    series: dict[str, Sequence[float]] = {
        "received": charts.received.numbers,
        "processed": charts.processed.numbers,
        "failed": charts.failed.numbers,
        "durations": durations,
    }
    return {name: sparkline(numbers) for name, numbers in series.items()}


def sparkline(numbers: Sequence[float]) -> Drawing:
    """Draw numbers as a line: zero at the bottom, the greatest at the top."""
    greatest = max(numbers, default=0) or 1
    step = WIDTH / max(len(numbers) - 1, 1)
    height = HEIGHT - 2 * MARGIN
    points = [
        f"{number * step:.0f},{HEIGHT - MARGIN - value / greatest * height:.0f}" for number, value in enumerate(numbers)
    ]
    line = "M" + " L".join(points) if points else ""
    return Drawing(line, f"{line} L{WIDTH},{HEIGHT} L0,{HEIGHT} Z" if points else "")
