"""Charts: what is drawn of each part's figures. `benchmarks/plots.py` draws it; this needs no library."""

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
        name: of the file.
        title: above it.
        unit: what the bars count.
        figures: contestant -> figure; drawn from the largest to the smallest.
        is_log: whether the axis is logarithmic.
        ours: what the names of our own contestants begin with.
        form: how a number is written at its bar.
    """

    name: str
    title: str
    unit: str
    figures: Mapping[str, Figure]
    is_log: bool = False
    ours: str = "meetergo-inbox"
    form: str = "{:,.0f}"


def of(part: str, results: Results) -> Sequence[Bars]:
    """What is drawn of a part; nothing of most."""
    return CHARTS[part](results) if part in CHARTS else ()


def _receiver(results: Results) -> Sequence[Bars]:
    from benchmarks.receiver.measurement import SLOW
    from benchmarks.receiver.setups import BARE  # late: only who was measured is drawn
    from benchmarks.receiver.targets import HALF, P99, RATE

    rates = {name: each[RATE] for name, each in unpacked(results["rates"]).items() if name != BARE}
    slow = {
        f"{name.partition(', ')[2]}, {beside}": each[HALF.format(beside) + P99]
        for name, each in unpacked(results["latency"]).items()
        for beside in SLOW
    }
    return (
        Bars("door", "The door: deliveries answered on one core", "deliveries per second", rates),
        Bars("latency", "The door at half of its most: p99", "milliseconds", slow, ours="", form="{:,.1f}"),
    )


def _worker(results: Results) -> Sequence[Bars]:
    from benchmarks.worker.setups import LOOP, SETUPS

    return [
        Bars(
            f"backroom-{kind}",
            f"The back room on {NAMES[kind]}: deliveries worked off in full",
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


CHARTS: dict[str, Callable[[Results], Sequence[Bars]]] = {"door": _receiver, "backroom": _worker}
