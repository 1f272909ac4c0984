"""Rounds: setups take turns, so that disturbances of the machine affect all of them alike."""

import statistics
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import machine


@dataclass(frozen=True)
class Figure:
    """One quantity, measured once per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The range as a share of the median."""
        return (max(self.values) - min(self.values)) / self.median

    def over(self, other: "Figure") -> "Figure":
        """Return the ratio to another figure, per round: what slowed a round slowed both."""
        return Figure(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))


@dataclass
class Rounds:
    """Alternates between setups, and probes how steady the machine is.

    Attributes:
        count: how many rounds.
        probes: what the machine's own speed was before each measurement, in milliseconds.
        failures: setup -> why it has no figure, in one line.
    """

    count: int
    probes: list[float] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def alternate(self, setups: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, dict[str, Figure]]:
        """Measure every setup once per round, in turn; each returns its quantities by name.

        A setup that fails once has no figure, and is named in `failures`; the others go on.

        Returns:
            Candidate -> quantity -> figure.
        """
        results: dict[str, list[Mapping[str, float]]] = {name: [] for name in setups}
        for number in range(self.count):
            names = list(setups)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if name in results:
                    self.probes.append(machine.probe())
                    try:
                        results[name].append(setups[name]())
                    except Exception as error:  # whatever it is: the others are still measured
                        traceback.print_exc()
                        self.failures[name] = _in_one_line(error)
                        del results[name]
                        continue
                    summary = ", ".join(f"{key} {value:,.1f}" for key, value in results[name][-1].items())
                    print(f"  {name}: {summary}", flush=True)
        return {
            name: {key: Figure(tuple(each[key] for each in turns)) for key in turns[0]}
            for name, turns in results.items()
        }


def _in_one_line(error: Exception) -> str:
    """Return the beginning of a message, without the logs that follow, which hold paths."""
    return (str(error).partition("\n")[0] or type(error).__name__)[:200].replace("|", "/")


def packed(results: Mapping[str, Mapping[str, Figure]]) -> dict[str, Any]:
    """Convert results to JSON values."""
    return {name: {key: asdict(figure)["values"] for key, figure in each.items()} for name, each in results.items()}


def unpacked(results: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, Figure]]:
    """Convert them back."""
    return {name: {key: Figure(tuple(values)) for key, values in each.items()} for name, each in results.items()}
