"""The parts of the benchmark: their modules, results and sections of the page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.promises import Promise

PARTS = {
    "receiver": "benchmarks.receiver",
    "worker": "benchmarks.worker",
    "growth": "benchmarks.growth",
    "journey": "benchmarks.journey",
    "network": "benchmarks.network",
    "commands": "benchmarks.commands",
    "cost": "benchmarks.cost",
}
"""Name -> module with `measure` and `show`, perhaps `promises`; imported on demand."""

Results = dict[str, Any]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Measured:
    """A part's results, and how they were measured.

    Attributes:
        on: the date.
        rounds: number of rounds.
        seconds: duration.
        machine: see `machine.describe`.
        probes: probes of the machine's speed, in milliseconds.
        results: what `measure` returned.
    """

    on: str
    rounds: int
    seconds: float
    machine: dict[str, str]
    probes: list[float]
    results: Results

    def save(self, part: str) -> None:
        """Save the results, so that the page can be rendered without measuring."""
        RESULTS.mkdir(exist_ok=True)
        _path(part).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, part: str) -> "Measured | None":
        """Load the saved results; None if there are none."""
        path = _path(part)
        return cls(**json.loads(path.read_text())) if path.exists() else None


def module(part: str) -> ModuleType:
    """Return the part's module."""
    return import_module(PARTS[part])


def show(part: str, results: Results) -> str:
    """Render its section of the page."""
    return str(module(part).show(results)).strip()


def promises(part: str, results: Results) -> Sequence[Promise]:
    """Return its targets, if it declares any."""
    say = getattr(module(part), "promises", None)
    return say(results) if say else ()


def _path(part: str) -> Path:
    return RESULTS / f"{part}.json"
