"""The parts of the benchmark: what each measures, where its results are, and how its piece of the page is made."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.promises import Promise

PARTS = {
    "door": "benchmarks.receiver",
    "backroom": "benchmarks.worker",
    "growth": "benchmarks.growth",
    "journey": "benchmarks.journey",
    "cost": "benchmarks.cost",
}
"""Name -> module with `measure` and `show`, perhaps `promises`; imported when somebody asks for it."""

Results = dict[str, Any]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Measured:
    """A part's results, and what there is to know about their making.

    Attributes:
        on: the day.
        rounds: how many.
        seconds: how long it took.
        machine: see `machine.describe`.
        probes: of the machine's own speed, in milliseconds.
        results: what `measure` returned.
    """

    on: str
    rounds: int
    seconds: float
    machine: dict[str, str]
    probes: list[float]
    results: Results

    def save(self, part: str) -> None:
        """Keeps them, so that the page can be made again without measuring."""
        RESULTS.mkdir(exist_ok=True)
        _path(part).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, part: str) -> "Measured | None":
        """What was kept; None if there is nothing."""
        path = _path(part)
        return cls(**json.loads(path.read_text())) if path.exists() else None


def module(part: str) -> ModuleType:
    """The part's code."""
    return import_module(PARTS[part])


def show(part: str, results: Results) -> str:
    """Its piece of the page."""
    return str(module(part).show(results)).strip()


def promises(part: str, results: Results) -> Sequence[Promise]:
    """What it promises, if it says so in that form."""
    say = getattr(module(part), "promises", None)
    return say(results) if say else ()


def _path(part: str) -> Path:
    return RESULTS / f"{part}.json"
