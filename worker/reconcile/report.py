"""The report of a reconciliation: what it read, what it found, and what it could not read."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from models.drift import Drift

MAX_ERRORS_SHOWN = 3
MAX_NAMES_SHOWN = 3
"""Maximum number of hosts and bookings named with one error."""


@dataclass(frozen=True)
class ReadError:
    """A host or booking that could not be read. The reason contains no personal data."""

    what: str
    reason: str


@dataclass
class ReconcileReport:
    """The result of one run.

    Attributes:
        hosts: number of hosts compared completely.
        appointments: number of distinct appointments read.
        drifts: differences from meetergo.
        unknown: local bookings that meetergo does not know. They are left unchanged.
        undelivered: bookings made since the last comparison that no webhook reported.
        read_errors: hosts and bookings that could not be read.
        unmapped: platform users without a meetergo id.
        left: hosts left to the next run.
        stopped: why the run stopped early, if something is wrong.
    """

    hosts: int = 0
    appointments: int = 0
    drifts: list[Drift] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    undelivered: int = 0
    read_errors: list[ReadError] = field(default_factory=list)
    unmapped: int = 0
    left: int = 0
    stopped: str | None = None

    def retract(self, booking_id: str) -> None:
        """Remove findings about a booking that another host may still show."""
        self.unknown[:] = [known for known in self.unknown if known != booking_id]
        self.read_errors[:] = [error for error in self.read_errors if error.what != f"booking {booking_id}"]

    @property
    def counts(self) -> dict[str, int]:
        """The counts as columns of `Reconciliation`."""
        kinds = Counter(drift.kind for drift in self.drifts)
        return {
            "hosts": self.hosts,
            "appointments": self.appointments,
            "missed": kinds["missed"],
            "undelivered": self.undelivered,
            "changed": kinds["changed"],
            "cancelled": kinds["cancelled"],
            "revived": kinds["revived"],
            "unknown": len(self.unknown),
        }

    @property
    def error_summary(self) -> str | None:
        """What could not be read, in one or a few sentences; each reason once."""
        by_reason = defaultdict[str, list[str]](list)
        for error in self.read_errors:
            by_reason[error.reason].append(error.what)
        shown = [f"{_listed(names)}: {reason}" for reason, names in list(by_reason.items())[:MAX_ERRORS_SHOWN]]
        more = len(by_reason) - len(shown)
        rest = [f"and {more} more {'error' if more == 1 else 'errors'}"] if more else []
        return "; ".join([*([self.stopped] if self.stopped else []), *shown, *rest]) or None

    @property
    def is_clean(self) -> bool:
        """Whether everything was read and meetergo knows all local bookings that were looked up."""
        return not (self.error_summary or self.unknown)

    @property
    def is_in_step(self) -> bool:
        """Whether something was read, and nothing differs in it."""
        return self.hosts > 0 and not (self.drifts or self.stopped)

    def summary(self) -> dict[str, Any]:
        """Counts that are safe to log."""
        return {**self.counts, "unread": len(self.read_errors), "unmapped": self.unmapped, "left": self.left}


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMES_SHOWN
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
