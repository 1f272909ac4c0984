"""Charts: which figures of each part are drawn. `benchmarks/plots.py` draws them; this module needs no library."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.rounds import Figure, unpacked
from benchmarks.stores import KINDS, NAMES

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Bars:
    """Figures side by side, one bar each, with its spread.

    Attributes:
        name: name of the file.
        title: title of the chart.
        unit: what the bars count.
        figures: setup -> figure; drawn from the largest to the smallest.
        is_log: whether the axis is logarithmic.
        ours: prefix of our own setups' names.
        form: format of the numbers at the bars.
    """

    name: str
    title: str
    unit: str
    figures: Mapping[str, Figure]
    is_log: bool = False
    ours: str = "meetergo-inbox"
    form: str = "{:,.0f}"


def of(part: str, results: Results) -> Sequence[Bars]:
    """Return a part's charts; most have none."""
    return CHARTS[part](results) if part in CHARTS else ()


def _receiver(results: Results) -> Sequence[Bars]:
    from benchmarks.receiver.measurement import SLOW
    from benchmarks.receiver.setups import BARE  # late: only measured setups are drawn
    from benchmarks.receiver.targets import HALF, P99, RATE

    rates = {name: each[RATE] for name, each in unpacked(results["rates"]).items() if name != BARE}
    slow = {
        f"{name.partition(', ')[2]}, {beside}": each[HALF.format(beside) + P99]
        for name, each in unpacked(results["latency"]).items()
        for beside in SLOW
    }
    return (
        Bars("receiver", "The receiver: deliveries answered on one core", "deliveries per second", rates),
        Bars("latency", "The receiver at half of its maximum: p99", "milliseconds", slow, ours="", form="{:,.1f}"),
    )


def _worker(results: Results) -> Sequence[Bars]:
    from benchmarks.worker.setups import LOOP, SETUPS

    return [
        Bars(
            f"worker-{kind}",
            f"The worker on {NAMES[kind]}: deliveries processed completely",
            "deliveries per second",
            {
                SETUPS[name].label.replace("**", ""): each["rate"]
                for name, each in unpacked(results["figures"][kind]).items()
                if name != LOOP
            },
            is_log=True,
            ours="ours",
        )
        for kind in KINDS
    ]


CHARTS: dict[str, Callable[[Results], Sequence[Bars]]] = {"receiver": _receiver, "worker": _worker}
