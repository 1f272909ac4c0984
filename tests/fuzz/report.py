"""The report: inputs, outcomes and violations."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

Result = TypeVar("Result")

LONGEST = timedelta(seconds=1)
SECOND_CHANCES = 3
"""An input is slow only if it is slow repeatedly: a busy machine may interrupt any run once."""
LONGEST_QUOTE = 600


@dataclass
class Report:
    """The findings of a fuzzer.

    Attributes:
        name: the fuzzed component.
        inputs: number of inputs.
        outcomes: count of each outcome.
        violations: each violation with its input.
        slowest: seconds of the slowest input, in its fastest run.
    """

    name: str
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def run(self, attempt: Callable[[], Result], quote: object) -> Result | None:
        """Run one input; return the result, or None if it raised. The input must be repeatable."""
        self.inputs += 1
        try:
            result, seconds = _timed(attempt)
            for _ in range(SECOND_CHANCES if seconds > LONGEST.total_seconds() else 0):
                seconds = min(seconds, _timed(attempt)[1])
        except Exception as error:
            self.violate(f"raised {error!r}", quote)
            return None
        self.slowest = max(self.slowest, seconds)
        if seconds > LONGEST.total_seconds():
            self.violate(f"took {seconds:.1f} s", quote)
        return result

    def violate(self, what: str, quote: object) -> None:
        """Record a violation."""
        self.violations.append(f"{what}: {repr(quote)[:LONGEST_QUOTE]}")

    def __str__(self) -> str:
        outcomes = ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(self.outcomes.items()))
        lines = [
            f"{self.name}: {self.inputs:,} inputs ({outcomes}), slowest {self.slowest * 1000:.1f} ms, "
            f"{len(self.violations)} violations"
        ]
        return "\n".join([*lines, *(f"  {violation}" for violation in self.violations[:5])])


def _timed(attempt: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    result = attempt()
    return result, time.perf_counter() - started
