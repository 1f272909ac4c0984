"""The intake: a roster's way through the onboarding, line by line; a line that fails does not stop the others."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from meetergo.api.errors import ApiError, Forbidden, LimitReached, PlanLimit, Unauthorised, Unavailable
from operations.errors import api_error_message
from operations.users.host_entry import HostEntry
from operations.users.host_file import HostRow
from operations.users.onboarding import NotOnboarded, Outcome

FATAL_ERRORS = (Unauthorised, Forbidden, PlanLimit, LimitReached)
"""What would happen to every other line as well."""
MAX_UNANSWERED = 5
"""After so many lines in a row without an answer, meetergo is away."""


@dataclass
class ImportRun:
    """What came of the lines so far.

    Attributes:
        outcomes: how many of each.
        failed: lines, and why.
        remaining: lines that were not taken; a line that stopped the run is the first.
        stopped: why not, and at which line; empty if all were.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failed: list[tuple[HostRow, str]] = field(default_factory=list)
    remaining: Sequence[HostRow] = ()
    stopped: str = ""

    @property
    def remaining_count(self) -> int:
        """How many lines were not taken."""
        return len(self.remaining)

    def run(
        self, lines: Sequence[HostRow], onboard_host: Callable[[HostEntry], Outcome], advance: Callable[[], object]
    ) -> None:
        """Takes all, or stops where going on is useless.

        Args:
            lines: in the order of the file.
            onboard_host: takes one host.
            advance: told after each line.
        """
        unanswered, self.remaining = 0, lines
        for done, line in enumerate(lines, 1):
            try:
                self._onboard(line, onboard_host)
                unanswered = 0
            except FATAL_ERRORS as error:
                self.stopped = f"line {line.number}: {api_error_message(error)}"
                return
            except Unavailable as error:
                self.failed.append((line, str(error)))
                unanswered += 1
            self.remaining = lines[done:]
            advance()
            if unanswered == MAX_UNANSWERED and self.remaining:
                self.stopped = f"line {line.number}: meetergo did not answer for {MAX_UNANSWERED} lines in a row"
                return

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            **{name: self.outcomes[name] for name in ("created", "adopted", "known")},
            "failed": [{"line": line.number, "reason": reason} for line, reason in self.failed],
            "left": self.remaining_count,
            "stopped": self.stopped or None,
        }

    def _onboard(self, line: HostRow, onboard_host: Callable[[HostEntry], Outcome]) -> None:
        if line.entry is None:
            self.failed.append((line, line.error))
            return
        try:
            self.outcomes[onboard_host(line.entry)] += 1
        except (*FATAL_ERRORS, Unavailable):
            raise
        except (NotOnboarded, ApiError) as error:
            self.failed.append((line, str(error)))
