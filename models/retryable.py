"""Something to do: a row that is tried until it is done or dead. Inbox and outbox rows are both this."""

import random
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Index, String, Text, and_, false, literal, or_, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from meetergo.retry_after import MAX_RETRY_AFTER
from runtime.database import database_now, partial_index
from runtime.errors import Permanent, Transient, describe

Status = Literal["pending", "done", "dead"]

MAX_ATTEMPTS = 24
INITIAL_BACKOFF = timedelta(seconds=5)
MAX_BACKOFF = timedelta(hours=1)
MAX_CRASHES = 3
"""An operator may kill a worker, and so may a lack of memory: that is not the row's fault yet."""
WORKER_DIED = "its processing ended the worker"
MAX_WAIT = MAX_RETRY_AFTER + MAX_BACKOFF
"""Nothing that failed is due later than this from now: what seems to be was written by a clock that was wrong."""
RETRY_JOB_GRACE = timedelta(seconds=30)
"""How long past its time a failed row is left to its own job, before anyone may take it."""


def retryable_indexes(table: str, *order: str) -> tuple[Index, ...]:
    """What is waiting, isolated, dead and over, each in an index that holds nothing else, and so stays small.

    Args:
        table: of the rows.
        order: in which rows are taken. The index has to give the whole order: a planner that has never seen a backlog
            would sort all of it for each batch.
    """
    return (
        partial_index(f"ix_{table}_due", *order, where="status = 'pending'"),
        partial_index(f"ix_{table}_isolated", "crashes", "due_at", "id", where="status = 'pending' AND is_isolated"),
        partial_index(f"ix_{table}_dead", "ended_at", "id", where="status = 'dead'"),
        partial_index(f"ix_{table}_ended_at", "ended_at", where="ended_at IS NOT NULL"),
    )


class Retryable:
    """The columns and the rules of a row that is tried until it ends.

    `is_isolated` after a worker died that had claimed it: it is tried alone, under a claim of its own. `crashes` counts
    the workers that died when it was alone: see models/claim.py.
    """

    status: Mapped[Status] = mapped_column(String(7), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    last_error: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None]
    is_isolated: Mapped[bool] = mapped_column(server_default=false())
    crashes: Mapped[int] = mapped_column(server_default="0")

    def finish(self, now: datetime) -> None:
        """It worked."""
        self.status, self.ended_at, self.last_error = "done", now, None

    def fail(self, error: Exception, now: datetime) -> None:
        """It did not work: decides between another try, and when, and death."""
        self.attempts += 1
        self.last_error, self._failure = stored_error(error), error
        if isinstance(error, Permanent) or self.attempts >= MAX_ATTEMPTS:
            self.status, self.ended_at = "dead", now
        else:
            self.due_at = now + backoff(self.attempts, error)

    @property
    def failure_summary(self) -> str:
        """Why it failed, safe to log: see `describe`. Of a row that was loaded, what it says before it may quote."""
        failure = getattr(self, "_failure", None)
        return describe(failure) if failure else (self.last_error or "").partition(":")[0]

    def replay(self, now: datetime) -> None:
        """Start over, with all attempts to come."""
        self.status, self.attempts, self.due_at, self.ended_at = "pending", 0, now, None
        self.is_isolated, self.crashes = False, 0

    def is_scheduled(self, now: datetime) -> bool:
        """Whether it is pending and is to be tried later: it failed, or a clock was wrong."""
        return self.status == "pending" and self.due_at > self._due_at_for_drain(now)

    def retry_now(self, now: datetime) -> None:
        """Do not wait any longer. It keeps its attempts. Of a row that does not wait, nothing changes."""
        if self.is_scheduled(now):
            self.due_at = self._due_at_for_drain(now)

    def _due_at_for_drain(self, now: datetime) -> datetime:
        """So long ago that a drain takes a row that failed, and does not leave it to its own job."""
        return now - RETRY_JOB_GRACE if self.attempts else now

    def isolate(self) -> None:
        """A worker died at it, or at a row of the same batch: from now on it is tried alone."""
        self.is_isolated = True

    def record_crash(self, now: datetime) -> None:
        """A worker died at it, and at nothing else: decides between another try and death."""
        self.crashes += 1
        self.last_error = WORKER_DIED
        if self.crashes >= MAX_CRASHES:
            self.fail(Permanent(WORKER_DIED), now)

    def defer(self, now: datetime) -> None:
        """Leaves it to its own job, at once. Nothing failed: it needs more than the others do."""
        self.attempts, self.due_at = max(1, self.attempts), now

    def is_retry_due(self, now: datetime) -> bool:
        """Whether `begin_retry` would say yes. Changes nothing."""
        return self.status == "dead" or (self.status == "pending" and self._is_due_now(now))

    def begin_retry(self, now: datetime) -> bool:
        """Whether the row's own job should try it now. A dead one starts over: it was asked for."""
        if self.status == "dead":
            self.replay(now)
        return self.status == "pending" and self._is_due_now(now)

    def _is_due_now(self, now: datetime) -> bool:
        return self.due_at <= now or self.due_at > now + MAX_WAIT

    @classmethod
    def has_status(cls, status: Status) -> ColumnElement[bool]:
        """Rows with this status.

        The statement itself names it: only so a planner sees that `retryable_indexes` hold them.
        """
        return cls.status == literal(status, literal_execute=True)

    @classmethod
    def where_scheduled(cls, now: datetime) -> ColumnElement[bool]:
        """Rows of which `is_scheduled` is true."""
        was_tried = and_(cls.attempts > 0, cls.due_at > now - RETRY_JOB_GRACE)
        return and_(cls.has_status("pending"), or_(was_tried, cls.due_at > now))

    @classmethod
    def is_due(cls, now: datetime) -> ColumnElement[bool]:
        """Rows that the bell's job takes: healthy ones at once, failed ones only if their own job is late."""
        return and_(
            cls.has_status("pending"),
            cls.due_at <= now,
            or_(cls.attempts == 0, cls.due_at <= now - RETRY_JOB_GRACE),
        )

    @classmethod
    def is_overdue(cls, now: datetime, after: timedelta) -> ColumnElement[bool]:
        """Rows that have been due for so long, and that nobody took."""
        return cls.is_due(now - after)

    @classmethod
    def correct_due_times(cls, session: Session, now: datetime) -> int:
        """Makes those rows due that wait for a time that only a wrong clock can have meant.

        Returns:
            How many.
        """
        is_far = and_(cls.has_status("pending"), cls.attempts > 0, cls.due_at > database_now(session, now, MAX_WAIT))
        statement = update(cls).where(is_far).values(due_at=now).execution_options(synchronize_session=False)
        return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]


def backoff(attempts: int, error: Exception) -> timedelta:
    """How long to wait after so many attempts: doubling, with jitter, and as long as we were asked to."""
    max_wait = min(INITIAL_BACKOFF * 2.0 ** (attempts - 1), MAX_BACKOFF)
    jittered: timedelta = max_wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return max(jittered, min(retry_after, MAX_RETRY_AFTER)) if retry_after else jittered


def stored_error(error: Exception) -> str:
    """What the row remembers of an error: it may quote the row's own data, so it stays in the database."""
    text_ = describe(error) if isinstance(error, Permanent | Transient) else f"{type(error).__name__}: {error}"[:500]
    return text_.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()  # what any database can keep
