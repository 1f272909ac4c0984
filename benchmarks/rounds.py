"""Rounds: contestants take turns, so that what the machine does meanwhile meets all of them alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import machine


@dataclass(frozen=True)
class Figure:
    """One quantity, measured once in each round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """From the smallest to the largest, as a share of the middle one."""
        return (max(self.values) - min(self.values)) / self.median

    def over(self, other: "Figure") -> "Figure":
        """The ratio to another, round by round: what slowed a whole round down slowed both."""
        return Figure(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))


@dataclass
class Rounds:
    """Alternates, and remembers how steady the machine was.

    Attributes:
        count: how many rounds.
        probes: what the machine's own speed was before each measurement, in milliseconds.
    """

    count: int
    probes: list[float] = field(default_factory=list)

    def alternate(self, setups: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, dict[str, Figure]]:
        """Every contestant once a round, in turn; each says its quantities by name.

        Returns:
            Contestant -> quantity -> figure.
        """
        results: dict[str, list[Mapping[str, float]]] = {name: [] for name in setups}
        for number in range(self.count):
            names = list(setups)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                self.probes.append(machine.probe())
                results[name].append(setups[name]())
                summary = ", ".join(f"{key} {value:,.1f}" for key, value in results[name][-1].items())
                print(f"  {name}: {summary}", flush=True)
        return {
            name: {key: Figure(tuple(each[key] for each in turns)) for key in turns[0]}
            for name, turns in results.items()
        }


def packed(results: Mapping[str, Mapping[str, Figure]]) -> dict[str, Any]:
    """Results as JSON can hold them."""
    return {name: {key: asdict(figure)["values"] for key, figure in each.items()} for name, each in results.items()}


def unpacked(results: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, Figure]]:
    """The results again."""
    return {name: {key: Figure(tuple(values)) for key, values in each.items()} for name, each in results.items()}
