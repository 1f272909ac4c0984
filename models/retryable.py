"""Retryable rows: inbox and outbox rows are tried until they are done or dead."""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from string import ascii_letters, digits
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import Index, Select, String, Text, TextClause, and_, false, literal, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from meetergo.retry_after import MAX_RETRY_AFTER
from models.account import DEFAULT, IS_OTHER
from runtime.database import database_now, partial_index, update_rows
from runtime.errors import Failure, Permanent, Transient, cause_of, describe

T = TypeVar("T")

Status = Literal["pending", "done", "dead"]
Moment = datetime | ColumnElement[datetime]
"""A time, or an expression for one; see `database_now`."""

MAX_ATTEMPTS = 24
INITIAL_BACKOFF = timedelta(seconds=5)
MAX_BACKOFF = timedelta(hours=1)
MAX_CRASHES = 3
"""Crashes after which a row is dead. A single crash proves nothing: an operator or the OOM killer may cause it."""
REFUSED_INTERVAL = timedelta(minutes=1)
"""How often a row that the database refuses to update is tried again."""
WORKER_DIED = "its processing ended the worker"
IS_ISOLATED = text("is_isolated")
MAX_WAIT = MAX_RETRY_AFTER + MAX_BACKOFF
"""Longest wait of a failed row. A `due_at` beyond it was written by a wrong clock."""


def retryable_indexes(table: str, *order: str) -> tuple[Index, ...]:
    """Build partial indexes of pending, isolated, dead and ended rows. Each holds only those rows, so it stays small.

    The due rows of accounts other than `default` have an index that begins with the account.

    Args:
        table: name of the table.
        order: columns by which rows are claimed. The index has to provide the whole order: with statistics that
            predate a backlog, the planner would sort the whole backlog for each batch.
    """
    return (
        partial_index(f"ix_{table}_due", *order, "account", where="status = 'pending'"),
        partial_index(f"ix_{table}_due_of_account", "account", *order, where=f"status = 'pending' AND {IS_OTHER}"),
        partial_index(f"ix_{table}_isolated", "crashes", "due_at", "id", where="status = 'pending' AND is_isolated"),
        partial_index(f"ix_{table}_dead", "ended_at", "id", where="status = 'dead'"),
        partial_index(f"ix_{table}_ended_at", "ended_at", where="ended_at IS NOT NULL"),
    )


class Retryable:
    """Mixin with the columns and rules of a row that is tried until it is done or dead.

    `is_isolated` is set when a worker that had claimed the row died: the row is then tried alone, under its own claim.
    `crashes` counts the workers that died while processing it alone; see models/claim.py.
    """

    DUE_ORDER: ClassVar[tuple[str, ...]]
    """The columns of the index of pending rows, which are claimed in this order."""

    account: Mapped[str]
    status: Mapped[Status] = mapped_column(String(7), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    last_error: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None]
    is_isolated: Mapped[bool] = mapped_column(server_default=false())
    crashes: Mapped[int] = mapped_column(server_default="0")

    def finish(self, now: datetime) -> None:
        """Mark the row done."""
        self.status, self.ended_at = "done", now
        if self.last_error is not None:  # assigning takes ten times as long as this comparison
            self.last_error = None

    def fail(self, error: Exception, now: datetime) -> None:
        """Count a failed attempt, and either schedule a retry or mark the row dead."""
        self.attempts += 1
        self.last_error = stored_error(error)
        if isinstance(error, Permanent) or self.attempts >= MAX_ATTEMPTS:
            self.status, self.ended_at = "dead", now
        else:
            self.due_at = now + backoff(self.attempts, error)

    def replay(self, now: datetime) -> None:
        """Reset to pending, with no attempts counted."""
        self.status, self.attempts, self.due_at, self.ended_at = "pending", 0, now, None
        self.is_isolated, self.crashes = False, 0

    def is_scheduled(self, now: datetime) -> bool:
        """Whether it is pending and due later, because it failed or a clock was wrong."""
        return self.status == "pending" and self.due_at > now

    def retry_now(self, now: datetime) -> None:
        """Make a waiting row due now. It keeps its attempts. A row that does not wait stays unchanged."""
        if self.is_scheduled(now):
            self.due_at = now

    def isolate(self) -> None:
        """Try the row alone from now on: a worker died while processing it or another row of its batch."""
        self.is_isolated = True

    def record_crash(self, now: datetime) -> None:
        """Count the death of a worker that processed only this row, and mark it dead after `MAX_CRASHES`."""
        self.crashes += 1
        self.last_error = WORKER_DIED
        if self.crashes >= MAX_CRASHES:
            self.fail(Permanent(WORKER_DIED), now)

    @classmethod
    def has_status(cls, status: Status) -> ColumnElement[bool]:
        """Rows with this status.

        The status is inlined as a literal so that the planner can use the partial indexes of `retryable_indexes`.
        """
        return cls.status == literal(status, literal_execute=True)

    @classmethod
    def is_to_be_tried_alone(cls) -> tuple[ColumnElement[bool] | TextClause, ...]:
        """Conditions for pending rows that are isolated, in the terms of their index.

        SQLite uses a partial index only if the condition is written in the same words, and prefers the index of all
        pending rows unless the first column of this one is bounded, too; see `record_crash`.
        """
        return cls.crashes < MAX_CRASHES, IS_ISOLATED

    @classmethod
    def first_other_account(cls) -> Select[str]:
        """Query for the first account beside `default` that has pending rows, by name.

        It has the condition of their index, for SQLite in the same words, and its order: a planner could otherwise
        take an index that also has the rows that are done.
        """
        is_of_other = cls.account != literal(DEFAULT, literal_execute=True)
        waiting = select(cls.account).where(cls.has_status("pending"), is_of_other, cls.account > "")
        return waiting.order_by(cls.account, *cls.due_order()).limit(1)

    @classmethod
    def due_order(cls) -> tuple[ColumnElement[Any], ...]:
        """Columns by which pending rows are claimed."""
        return tuple(getattr(cls, name).expression for name in cls.DUE_ORDER)

    @classmethod
    def where_scheduled(cls, now: datetime) -> ColumnElement[bool]:
        """Rows for which `is_scheduled` is true."""
        return and_(cls.has_status("pending"), cls.due_at > now)

    @classmethod
    def is_due(cls, now: Moment) -> ColumnElement[bool]:
        """Rows that a drain takes."""
        return and_(cls.has_status("pending"), cls.due_at <= now)

    @classmethod
    def became_due(cls, since: Moment, now: Moment) -> ColumnElement[bool]:
        """Rows that became due after `since`."""
        return and_(cls.has_status("pending"), cls.due_at > since, cls.due_at <= now)

    @classmethod
    def is_overdue(cls, now: datetime, after: timedelta) -> ColumnElement[bool]:
        """Rows that have been due for at least `after` and were not claimed."""
        return cls.is_due(now - after)

    @classmethod
    def correct_due_times(cls, session: Session, now: datetime) -> int:
        """Make rows due now whose `due_at` is so far ahead that a wrong clock must have set it.

        Returns:
            The number of rows.
        """
        is_wrong = and_(cls.has_status("pending"), cls.has_wrong_due_time(session, now))
        return update_rows(session, update(cls).where(is_wrong).values(due_at=now))

    @classmethod
    def has_wrong_due_time(cls, session: Session, now: datetime) -> ColumnElement[bool]:
        """Rows that failed, and wait for longer than any row does."""
        return and_(cls.attempts > 0, cls.due_at > database_now(session, now, MAX_WAIT))


def waiting_accounts(session: Session, model: type[Retryable]) -> Sequence[str]:
    """Return the accounts beside `default` that have pending rows, by name.

    Each is one step in the index, however many rows wait: a DISTINCT would read all of them.
    """
    first = model.first_other_account()
    found = select(first.scalar_subquery().label("account")).cte("waiting", recursive=True)
    following = first.where(model.account > found.c.account).scalar_subquery()
    found = found.union_all(select(following).where(found.c.account.is_not(None)))
    return session.scalars(select(found.c.account).where(found.c.account.is_not(None)).order_by(found.c.account)).all()


@dataclass
class Turn:
    """Round robin: while rows of several accounts wait, each batch takes those of one, and delays others by no more.

    Attributes:
        account: the account whose rows were claimed last. The first is drawn: a process may live for one batch only,
            and the first account by name would then always be served first.
    """

    account: str = field(default_factory=lambda: random.choice(ascii_letters + digits))  # noqa: S311 - guards nothing

    def take(self, session: Session, model: type[Retryable], claim: Callable[..., Sequence[T]]) -> Sequence[T]:
        """Claim rows of the account whose turn it is: the next by name, after the last one, that has some.

        Args:
            session: session of the transaction.
            model: deliveries or notifications.
            claim: claims due rows of an `account`.
        """
        waiting = [DEFAULT, *waiting_accounts(session, model)]
        for account in sorted(waiting, key=lambda name: (name <= self.account, name)):
            claimed = claim(account=account)
            if claimed:
                self.account = account
                return claimed
        return ()


class RefusedRows:
    """Rows that the database refuses to update: a trigger or a constraint of the platform fails for them alone.

    This process leaves each of them alone for a while, so that it stops no other.
    """

    def __init__(self) -> None:
        self._until: dict[Any, float] = {}

    def add(self, key: Any) -> None:
        """Leave a row alone from now on."""
        self._until[key] = time.monotonic() + REFUSED_INTERVAL.total_seconds()

    @property
    def keys(self) -> Collection[Any]:
        """The rows to leave alone now."""
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until


def backoff(attempts: int, error: Exception) -> timedelta:
    """Return how long to wait after N attempts: exponential with jitter, and at least the error's `retry_after`."""
    max_wait = min(INITIAL_BACKOFF * 2.0 ** (attempts - 1), MAX_BACKOFF)
    jittered: timedelta = max_wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return max(jittered, min(retry_after, MAX_RETRY_AFTER)) if retry_after else jittered


def stored_error(error: Exception) -> str:
    """Return the text of an error to store in the row. It may quote the row's data, so it must not be logged."""
    message = describe(error)
    if not isinstance(error, Failure):
        message = f"{message}: {cause_of(error)}"[:500]
    return message.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()  # storable in any database
