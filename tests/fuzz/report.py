"""The report: what was tried, what came of it, and what should not have."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

Result = TypeVar("Result")

LONGEST = timedelta(seconds=1)
SECOND_CHANCES = 3
"""Slow is what is slow again: a busy machine may interrupt anybody once."""
LONGEST_QUOTE = 600


@dataclass
class Report:
    """What fuzzing found.

    Attributes:
        name: what was fuzzed.
        inputs: how many were tried.
        outcomes: how often each came.
        violations: what must not be, with the input that did it.
        slowest: seconds, of the best of its tries.
    """

    name: str
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def run(self, attempt: Callable[[], Result], quote: object) -> Result | None:
        """Runs one input; the result, or None if it raised. It must be one that may be run again."""
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
        """Notes what must not be."""
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
