"""What a run over notifications would do: which it would send, close, or leave alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from models.notification import Notification
from models.run import RunKind
from operations.errors import OperationError
from operations.runs.store import MAX_RUN_ROWS, SelectedRow, digest_of

MAX_CHECKED = 500
"""Maximum number of notifications that a plan checks for being superseded."""


@dataclass(frozen=True)
class PlannedNotification:
    """A notification that a run would take.

    Attributes:
        id: its id.
        booking_id: its booking.
        kind: its kind.
        channel: the channel.
        recipient: the recipient.
        status: its status.
        ended_at: when it ended, UTC.
        last_error: its last error.
    """

    id: int
    booking_id: str
    kind: str
    channel: str
    recipient: str
    status: str
    ended_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class NotificationPlan:
    """What a run over notifications would do now.

    Attributes:
        kind: what to do.
        rows: the notifications that it would take.
        waiting: number left out: pending, so they go out anyway.
        done: number left out: done, and not to be sent again.
        superseded: ids of those that would be closed and not sent, because something newer was sent; of the first
            MAX_CHECKED.
    """

    kind: RunKind
    rows: Sequence[PlannedNotification]
    waiting: int
    done: int
    superseded: frozenset[int]

    @property
    def digest(self) -> str:
        """Identifies the rows and their states."""
        return digest_of(self.kind, self.rows)

    def to_run(self) -> list[SelectedRow]:
        """Return the rows to start a run with, in order."""
        return [SelectedRow(str(row.id), row.booking_id, row.ended_at) for row in self.rows]


def plan_notifications(
    session: Session, query: Select[Any], kind: RunKind, *, resend: bool = False, superseded: bool = False
) -> NotificationPlan:
    """Plan a run over the notifications of a query.

    Args:
        session: the session.
        query: selects notifications.
        kind: what to do with them: `replay` sends them.
        resend: whether those that were sent are sent again.
        superseded: whether superseded ones are sent, too.

    Raises:
        OperationError: there are too many.
    """
    columns: Any = [getattr(Notification, name) for name in PlannedNotification.__dataclass_fields__]
    ordered = query.order_by(None).order_by(Notification.booking_id, Notification.id).with_only_columns(*columns)
    found = [PlannedNotification(*row) for row in session.execute(ordered.limit(MAX_RUN_ROWS + 1))]
    if len(found) > MAX_RUN_ROWS:
        raise OperationError(f"these are more than {MAX_RUN_ROWS} notifications: narrow the filters")
    taken = {"dead", "done"} if resend and kind == "replay" else {"dead"}
    rows = [row for row in found if row.status in taken]
    waiting = sum(row.status == "pending" for row in found)
    return NotificationPlan(
        kind,
        rows,
        waiting,
        len(found) - len(rows) - waiting,
        _superseded(session, rows) if kind == "replay" and not superseded else frozenset(),
    )


def _superseded(session: Session, rows: Sequence[PlannedNotification]) -> frozenset[int]:
    ids = [row.id for row in rows[:MAX_CHECKED]]
    loaded = session.scalars(select(Notification).where(Notification.id.in_(ids))).all()
    return frozenset(row.id for row in loaded if row.is_superseded(session))
