"""Errors of dead and failing deliveries or notifications, grouped by their text, and counted by age."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from models.claim import RowType
from models.delivery import Delivery
from models.notification import Notification
from models.retryable import Status
from operations.row_list import MAX_FAILED

WINDOWS: dict[str, timedelta] = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
MAX_ROWS = MAX_FAILED
"""Maximum number of rows counted per status, latest first: the rows that a list searches for an error."""
MAX_GROUPS = 20
MAX_FILTER_LENGTH = 120
"""A longer error is searched by its beginning, which keeps the URL short."""
FAILING_STATUSES: tuple[Status, ...] = ("dead", "pending")


@dataclass
class ErrorGroup:
    """Deliveries or notifications that have the same last error.

    Attributes:
        error: the error; it may quote personal data.
        counts: `1h`, `24h`, `7d` and `all` -> number of rows received or created in that time.
        statuses: status -> number.
        events: event (empty if the body could not be read), or kind of the notification -> number.
        first: when the first of them was received or created, UTC.
        last: when the last of them was received or created, UTC.
    """

    error: str
    first: datetime
    last: datetime
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    @property
    def filter(self) -> dict[str, str]:
        """The filter that finds its rows."""
        if len(self.error) <= MAX_FILTER_LENGTH:
            return {"error_is": self.error}
        return {"error": self.error[:MAX_FILTER_LENGTH].strip()}


@dataclass(frozen=True)
class GroupedErrors:
    """The most frequent errors.

    Attributes:
        groups: the groups, the most frequent first.
        others: number of further groups.
        is_complete: whether all failed deliveries were counted.
    """

    groups: Sequence[ErrorGroup]
    others: int
    is_complete: bool


class CountedError(NamedTuple):
    """All rows of a selection that have the same last error and the same status.

    Attributes:
        number: how many they are.
        status: their status.
        error: the error; it may quote personal data.
        first: when the first of them was received or created, UTC.
        last: when the last of them was received or created, UTC.
        example: id of one of them.
    """

    number: int
    status: Status
    error: str
    first: datetime
    last: datetime
    example: str | int


def count_errors(session: Session, selected: Select[Any], rows: RowType) -> Sequence[CountedError]:
    """Count the errors of the selected deliveries or notifications, the most frequent first. It reads all of them."""
    at = Delivery.received_at if rows is Delivery else Notification.created_at
    columns: tuple[Any, ...] = (
        func.count(),
        rows.status,
        rows.last_error,
        func.min(at),
        func.max(at),
        func.min(rows.id),
    )
    failed = selected.where(rows.last_error.is_not(None)).order_by(None).group_by(rows.last_error, rows.status)
    counted = failed.with_only_columns(*columns).order_by(func.count().desc())
    return [CountedError(*row) for row in session.execute(counted)]


def group_errors(session: Session, now: datetime, rows: RowType) -> GroupedErrors:
    """Group the errors of dead and failing deliveries or notifications."""
    groups: dict[str, ErrorGroup] = {}
    counted: Counter[Status] = Counter()
    for status in FAILING_STATUSES:
        for error, event, first, last, total, *numbers in session.execute(_count(rows, status, now)):
            group = groups.setdefault(error, ErrorGroup(error, first, last))
            group.first, group.last = min(group.first, first), max(group.last, last)
            group.counts.update(dict(zip(WINDOWS, numbers, strict=True)) | {"all": total})
            group.statuses[status] += total
            group.events[event or ""] += total
            counted[status] += total
    ordered = sorted(groups.values(), key=_frequency)
    is_complete = all(number < MAX_ROWS for number in counted.values())
    return GroupedErrors(ordered[:MAX_GROUPS], max(0, len(ordered) - MAX_GROUPS), is_complete)


def _count(model: RowType, status: Status, now: datetime) -> Select[Any]:
    columns: tuple[Any, ...] = (
        (Delivery.last_error, Delivery.event, Delivery.received_at)
        if model is Delivery
        else (
            Notification.last_error,
            Notification.kind.label("event"),
            Notification.created_at.label("received_at"),
        )
    )
    latest = model.ended_at.desc() if status == "dead" else model.due_order()[0].desc()
    rows = select(*columns).where(model.has_status(status), model.last_error.is_not(None))
    window = rows.order_by(latest).limit(MAX_ROWS).subquery()
    received = window.c.received_at
    numbers = [func.sum(case((received >= now - length, 1), else_=0)) for length in WINDOWS.values()]
    return select(
        window.c.last_error, window.c.event, func.min(received), func.max(received), func.count(), *numbers
    ).group_by(window.c.last_error, window.c.event)


def _frequency(group: ErrorGroup) -> tuple[int, ...]:
    return tuple(-group.counts[name] for name in (*WINDOWS, "all"))
