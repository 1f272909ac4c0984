"""ReconcileReport: what one reconciliation read, what it found, and what it could not read."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from models.drift import Drift

MOST_FAILURES_TOLD = 3


@dataclass(frozen=True)
class ReadError:
    """A host, or a booking, that could not be read. The reason names nobody."""

    what: str
    reason: str


@dataclass
class ReconcileReport:
    """Of one run.

    Attributes:
        hosts: how many were compared to the end.
        appointments: how many different ones were read.
        drifts: what is not as it is at meetergo.
        unknown: bookings of ours that meetergo does not know. They are left as they are.
        unread: what could not be read.
        unmapped: platform users without a meetergo id.
        left: hosts that are left to the next run.
        stopped: why the run stopped early, if something is wrong.
    """

    hosts: int = 0
    appointments: int = 0
    drifts: list[Drift] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unread: list[ReadError] = field(default_factory=list)
    unmapped: int = 0
    left: int = 0
    stopped: str | None = None

    def take_back(self, booking_id: str) -> None:
        """Of a booking that was not to be seen: another host is asked for it, or shows it."""
        self.unknown[:] = [known for known in self.unknown if known != booking_id]
        self.unread[:] = [unread for unread in self.unread if unread.what != f"booking {booking_id}"]

    @property
    def counts(self) -> dict[str, int]:
        """As a `Reconciliation` has them."""
        kinds = Counter(drift.kind for drift in self.drifts)
        return {
            "hosts": self.hosts,
            "appointments": self.appointments,
            "missed": kinds["missed"],
            "changed": kinds["changed"],
            "cancelled": kinds["cancelled"],
            "revived": kinds["revived"],
            "unknown": len(self.unknown),
        }

    @property
    def complaint(self) -> str | None:
        """What kept the run from reading everything, in a sentence or a few."""
        told = [f"{unread.what}: {unread.reason}" for unread in self.unread[:MOST_FAILURES_TOLD]]
        more = len(self.unread) - len(told)
        said = [*([self.stopped] if self.stopped else []), *told, *([f"and {more} more"] if more > 0 else [])]
        return "; ".join(said) or None

    @property
    def is_clean(self) -> bool:
        """Whether everything could be read, and meetergo knows all bookings of ours that it was asked for."""
        return not (self.complaint or self.unknown)

    def summary(self) -> dict[str, Any]:
        """What may be logged: numbers."""
        return {**self.counts, "unread": len(self.unread), "unmapped": self.unmapped, "left": self.left}
