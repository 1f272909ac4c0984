"""Import hosts line by line; a failed line does not stop the others."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm.exc import FlushError, StaleDataError

from meetergo.api.errors import ApiError, Forbidden, LimitReached, PlanLimit, Unauthorised, Unavailable
from models.platform_user import PlatformUser
from operations.errors import api_error_message, first_line
from operations.users.host_entry import HostEntry
from operations.users.host_file import HostRow
from operations.users.onboarding import CreateUnconfirmed, NotOnboarded, Outcome
from runtime.database import RowsDiscarded

FATAL_ERRORS = (Unauthorised, Forbidden, PlanLimit, LimitReached)
"""Errors that would occur for every other line too."""
NO_ANSWER = (Unavailable, CreateUnconfirmed)
PLPGSQL_ERRORS = "P0"
"""Class of the SQLSTATEs of PL/pgSQL, such as that of a trigger of the platform which raises."""
MAX_UNANSWERED = 5
"""Number of consecutive lines without a usable response after which meetergo counts as down."""


@dataclass
class ImportRun:
    """The progress of an import.

    Attributes:
        account: the account of meetergo's whose users the hosts become.
        outcomes: number of lines for each outcome.
        failed: failed lines with their reasons.
        remaining: lines not processed; the line that stopped the run comes first.
        stopped: why the run stopped, and at which line; empty if it did not.
    """

    account: str
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failed: list[tuple[HostRow, str]] = field(default_factory=list)
    remaining: Sequence[HostRow] = ()
    stopped: str = ""

    def run(
        self, lines: Sequence[HostRow], onboard_host: Callable[[HostEntry], Outcome], advance: Callable[[int], object]
    ) -> None:
        """Process all lines, or stop where it is useless to continue.

        Args:
            lines: lines in the file's order.
            onboard_host: onboards one host.
            advance: called with the number of lines just processed.
        """
        unanswered, self.remaining = 0, lines
        for done, line in enumerate(lines, 1):
            try:
                self._onboard(line, onboard_host)
                unanswered = 0
            except FATAL_ERRORS as error:
                self.stopped = f"line {line.number}: {api_error_message(error, self.account)}"
                return
            except NO_ANSWER as error:
                self.failed.append((line, str(error)))
                unanswered += 1
            self.remaining = lines[done:]
            advance(1)
            if unanswered == MAX_UNANSWERED and self.remaining:
                self.stopped = f"line {line.number}: meetergo gave no usable answer for {MAX_UNANSWERED} lines in a row"
                return

    def as_json(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            **{name: self.outcomes[name] for name in ("created", "adopted", "known")},
            "failed": [{"line": line.number, "reason": reason} for line, reason in self.failed],
            "left": len(self.remaining),
            "stopped": self.stopped or None,
        }

    def _onboard(self, line: HostRow, onboard_host: Callable[[HostEntry], Outcome]) -> None:
        if line.entry is None:
            self.failed.append((line, line.error))
            return
        try:
            self.outcomes[onboard_host(line.entry)] += 1
        except (*FATAL_ERRORS, *NO_ANSWER):
            raise
        except (NotOnboarded, ApiError) as error:
            self.failed.append((line, str(error)))
        except (DBAPIError, FlushError, StaleDataError) as error:
            if not (refusal := _refusal(error)):
                raise
            self.failed.append((line, f"the database refuses this host: {refusal}"))


def _refusal(error: SQLAlchemyError) -> str:
    """Return why the database refuses one host; "" if it would fail for every other one too."""
    if not isinstance(error, DBAPIError):
        return str(RowsDiscarded(PlatformUser.__tablename__))
    code = getattr(error.orig, "sqlstate", None) or ""
    has_own_code = bool(code) and type(error) is DatabaseError  # a trigger of the platform chose it
    is_about_host = isinstance(error, DataError | IntegrityError) or code.startswith(PLPGSQL_ERRORS) or has_own_code
    return first_line(error) if is_about_host else ""
