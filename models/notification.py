"""The outbox: notifications, inserted in the transaction of the change that causes them, and sent after it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from secrets import token_hex
from typing import Any, cast

from sqlalchemy import (
    ForeignKey,
    Index,
    Integer,
    Select,
    String,
    Text,
    Update,
    and_,
    bindparam,
    exists,
    false,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from models.account import DEFAULT, IS_OTHER, is_of
from models.booking import BookingChange, NotificationKind
from models.delivery import LATE_AFTER, NOW, Delivery
from models.retryable import Moment, Retryable, retryable_indexes
from runtime.bulk import check_inserted, insert_missing
from runtime.database import CLOCK_TOLERANCE, Model, RowsDiscarded, database_now, partial_index, table_of, update_rows

RESEND_COLUMNS = (
    "account",
    "booking_id",
    "platform_user_id",
    "delivery_id",
    "kind",
    "channel",
    "recipient",
    "fingerprint",
    "payload",
)
"""The columns that `resend` copies."""
KEY_BYTES = 32
END_BATCH_SIZE = 500
MEETING_OVER = "not sent: the meeting is over"
SUPERSEDED = "not sent: a later message says more"
SEND_LEASE = timedelta(seconds=60)
"""How long a sender holds a claimed row. Longer than any channel's deadline; renewed while sending."""


class ClaimRefused(Exception):
    """The database refuses to update one or more of the rows that were to be claimed.

    Attributes:
        ids: all rows of the batch.
        reason: the database's error.
    """

    def __init__(self, ids: Sequence[int], reason: DBAPIError | RowsDiscarded) -> None:
        super().__init__(str(reason))
        self.ids, self.reason = ids, reason


class Notification(Retryable, Model):
    """One message to one recipient by one channel, sent once.

    `channel` and `recipient` are safe to show; the channel's URL, which may hold a secret, is looked up by its
    `fingerprint`. The delivery that `delivery_id` names may be pruned earlier. `payload` is a snapshot of the content,
    so that every attempt sends the same; only a summary may become shorter (see `leave_out_superseded`). `is_late`
    means that a replay or a late delivery caused it: it is only sent while its recipient has nothing newer.
    `claimed_by` names the worker that holds its lease.
    """

    KEY = ("booking_id", "key")
    """The columns of the unique index."""

    DUE_ORDER = ("due_at", "id")

    __tablename__ = "notifications"
    __table_args__ = (
        partial_index("ix_notifications_of_account", "account", "created_at", "id", where=IS_OTHER),
        *retryable_indexes("notifications", *DUE_ORDER),
        Index("ix_notifications_booking_id_key", "booking_id", "key", unique=True),
        Index("ix_notifications_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    booking_id: Mapped[str] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    platform_user_id: Mapped[int | None] = mapped_column(ForeignKey("platform_users.id", ondelete="SET NULL"))
    delivery_id: Mapped[str | None] = mapped_column(String(64))
    kind: Mapped[NotificationKind] = mapped_column(String(13))
    channel: Mapped[str] = mapped_column(String(32))
    recipient: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    is_late: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(128))

    @classmethod
    def caused_by(cls, delivery: Delivery) -> ColumnElement[bool]:
        """SQL condition: notifications that a delivery caused, found by the bookings it changed: it has no index."""
        changed = select(BookingChange.booking_id).where(BookingChange.caused_by(delivery))
        return and_(cls.booking_id.in_(changed), cls.delivery_id == delivery.id)

    def is_meeting_over(self, now: datetime) -> bool:
        """Whether the meeting has ended, so that the notification is no longer worth sending."""
        return _is_meeting_over(self.payload, now)

    @property
    def message_id(self) -> str:
        """The id of the message, the same on every attempt, so that the receiver can deduplicate."""
        return f"msg_{self.key[:32]}"

    @classmethod
    def row_for(cls, *, version: str, now: datetime, **columns: Any) -> dict[str, Any]:
        """Build the row of a notification for `insert_new`. Its key makes sure that it is sent once.

        Args:
            version: identifies the change, such as the booking's revision: new for each change, equal for a repeat.
            now: when it happened, UTC.
            columns: the other columns. If the meeting is over, the row is `done` at once, with the reason.
        """
        identity = (
            columns["booking_id"],
            columns["kind"],
            version,
            columns["fingerprint"],
            columns["recipient"],
        )
        key = sha256("\n".join(identity).encode()).hexdigest()
        row = dict(key=key, status="pending", attempts=0, due_at=now, last_error=None, ended_at=None, created_at=now)
        ended_columns = (
            dict(status="done", ended_at=now, last_error=MEETING_OVER)
            if _is_meeting_over(columns["payload"], now)
            else {}
        )
        return {**row, "is_late": False, **columns, **ended_columns}

    @classmethod
    def insert_new(cls, session: Session, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows that do not exist yet. Of late ones, only the last of each recipient stays pending.

        Returns:
            The number of new rows.

        Raises:
            RowsDiscarded: a trigger of the platform's keeps some out of the table, without an error.
        """
        last_keys = {_recipient_of(row): row["key"] for row in rows if _can_be_superseded(row)}
        if last_keys:
            cls._supersede(session, last_keys.keys(), rows[0]["created_at"])
        ended = dict(status="done", last_error=SUPERSEDED)
        rows_to_insert = [
            row
            if not _can_be_superseded(row) or last_keys[_recipient_of(row)] == row["key"]
            else {**row, **ended, "ended_at": row["created_at"]}
            for row in rows
        ]
        inserted = insert_missing(session, cls, rows_to_insert, *cls.KEY)
        if inserted < len(rows):
            check_inserted(session, cls, rows_to_insert, *cls.KEY)
        return inserted

    @classmethod
    def superseded_ids(cls, session: Session, now: datetime) -> Sequence[int]:
        """Return ids of rows that waited too long, for example for a channel that was down, and are superseded."""
        later = aliased(cls)
        has_successor = exists().where(*cls._is_unsent_of_stream(later), _unindexed_id(later) > cls.id)
        has_waited = and_(
            cls.has_status("pending"), cls.created_at < now - LATE_AFTER, cls.due_at <= now, has_successor
        )
        is_of_one = cls.kind != "summary"
        return session.scalars(select(cls.id).where(has_waited, is_of_one).order_by(cls.id).limit(END_BATCH_SIZE)).all()

    @classmethod
    def end_superseded(cls, session: Session, ids: Collection[int], now: datetime) -> None:
        """End those of the rows that are still pending."""
        for row in cls.get_for_update(session, ids):
            if row.status == "pending":
                row.end_without_sending(SUPERSEDED, now)

    @classmethod
    def _supersede(cls, session: Session, recipients: Iterable[tuple[str, str, str]], now: datetime) -> None:
        """End earlier late notifications that are still pending for these recipients."""
        conditions = tuple_(cls.booking_id, cls.fingerprint, cls.recipient).in_([*recipients])
        is_under_way = cls.claimed_by.is_not(None)  # it may have been sent by now
        is_of_one = cls.kind != "summary"
        ended = update(cls).where(cls.has_status("pending"), cls.is_late, ~is_under_way, is_of_one, conditions)
        update_rows(session, ended.values(status="done", ended_at=now, last_error=SUPERSEDED))

    def is_superseded(self, session: Session) -> bool:
        """Whether its recipient has a newer notification of the same booking, sent or pending.

        A summary is superseded once its recipient was sent one of each of its bookings.
        """
        if self.kind == "summary":
            return not self._current_payload(session)["total"]
        stream = session.scalars(select(Notification).where(*self._is_of_same_stream()))
        others = (row for row in stream if not (row.status == "done" and row.last_error))
        return any(row.revision > self.revision for row in others)

    def leave_out_superseded(self, session: Session) -> None:
        """Leave out of a summary the bookings of which its recipient was sent a later notification."""
        if self.kind == "summary":
            self.payload = self._current_payload(session)

    def _current_payload(self, session: Session) -> dict[str, Any]:
        """Return the payload of a summary without the bookings of which its recipient was sent a later notification."""
        listed = self.payload["bookings"]
        later = select(Notification.booking_id).where(
            Notification.booking_id.in_([booking["id"] for booking in listed]),
            Notification.fingerprint == self.fingerprint,
            Notification.recipient == self.recipient,
            Notification.kind != "summary",
            Notification.status == "done",
            Notification.last_error.is_(None),
            _unindexed_id(Notification) > self.id,
        )
        known = {*session.scalars(later)}
        bookings = [booking for booking in listed if booking["id"] not in known]
        return {**self.payload, "bookings": bookings, "total": self.payload["total"] - len(known)}

    @property
    def has_nothing_left(self) -> bool:
        """Whether it is a summary of no booking any more."""
        return self.kind == "summary" and not self.payload.get("total")

    def resend(self, session: Session, now: datetime, *, is_late: bool) -> "Notification":
        """Insert a copy to send once more. Its message id is new; otherwise the receiver would drop it as a duplicate.

        Args:
            session: session of the transaction, in which the caller records the operator; see `Intervention`.
            now: the time, UTC.
            is_late: whether to send it only while nothing newer exists.
        """
        columns = {name: getattr(self, name) for name in RESEND_COLUMNS}
        if is_late and self.kind == "summary":
            columns["payload"] = self._current_payload(session)
        new = dict(key=token_hex(KEY_BYTES), status="pending", attempts=0, due_at=now, created_at=now, is_late=is_late)
        copy = Notification(**new, **columns)
        session.add(copy)
        session.flush()
        return copy

    def is_pending(self, session: Session) -> bool:
        """Whether this notification or a copy of it is pending."""
        similar = select(Notification).where(*self._is_of_same_stream(), Notification.status == "pending")
        return any(row.identity == self.identity for row in session.scalars(similar))

    def _is_of_same_stream(self) -> tuple[ColumnElement[bool], ...]:
        """SQL conditions: notifications of the same booking, channel and recipient."""
        return (
            Notification.booking_id == self.booking_id,
            Notification.fingerprint == self.fingerprint,
            Notification.recipient == self.recipient,
        )

    @property
    def identity(self) -> tuple[str, str, str, str, int]:
        """Content, channel and recipient: the same for a notification and its copies."""
        return self.booking_id, self.kind, self.fingerprint, self.recipient, self.revision

    @property
    def revision(self) -> int:
        """The booking's revision that this notification reports."""
        return int(self.payload["booking"].get("revision", 0))

    def notified_fingerprints(self, session: Session) -> set[str]:
        """Return the fingerprints of the channels by which this was sent or is pending."""
        conditions = (Notification.booking_id == self.booking_id, Notification.kind == self.kind)
        rows = session.scalars(select(Notification).where(*conditions, Notification.status != "dead"))
        return {row.fingerprint for row in rows if row.revision == self.revision}

    def redirect(self, *, fingerprint: str, channel: str, recipient: str) -> None:
        """Send it by another channel from now on. Its id stays, since it has not been sent yet."""
        self.fingerprint, self.channel, self.recipient = fingerprint, channel, recipient

    @classmethod
    def has_wrong_due_time(cls, session: Session, now: datetime) -> ColumnElement[bool]:
        """Also rows that no worker has claimed yet, due from the start but only in the future."""
        is_unclaimed = and_(cls.attempts == 0, cls.claimed_by.is_(None), cls.due_at == cls.created_at)
        is_ahead = cls.due_at > database_now(session, now, CLOCK_TOLERANCE)
        return or_(super().has_wrong_due_time(session, now), and_(is_unclaimed, is_ahead))

    @classmethod
    def became_due(cls, since: Moment, now: Moment) -> ColumnElement[bool]:
        """Rows that became due after `since` and are not behind an earlier one of their stream; see `claim`."""
        return and_(super().became_due(since, now), ~cls._has_earlier_unsent())

    @classmethod
    def claim(
        cls,
        session: Session,
        now: datetime,
        limit: int,
        worker: str,
        *,
        is_isolated: bool = False,
        excluding: Collection[str] = (),
        refused: Collection[int] = (),
        account: str | None = None,
    ) -> "Sequence[Notification]":
        """Claim the next notifications to send, with a lease; see `lease`. The rows are returned as they were before.

        Notifications of one stream (booking, channel, recipient) are sent in order, so at most one of each is claimed.

        Args:
            session: session of a transaction.
            now: the time, UTC.
            limit: maximum number of rows.
            worker: name of the claiming worker.
            is_isolated: whether to claim isolated rows, and only those: a worker died while sending their batch.
            excluding: fingerprints of channels not to use now.
            refused: ids of rows that the database does not let us claim.
            account: the account to choose from; None for any.

        Raises:
            ClaimRefused: the database refuses to update one or more of them.
        """
        query = cls._claim_query(is_isolated=is_isolated)
        if excluding:
            query = query.where(cls.fingerprint.not_in(excluding))
        if refused:
            query = query.where(cls.id.not_in(refused))
        if account is not None:
            query = query.where(*is_of(cls, account))
        rows = session.scalars(query, {"now": now, "limit": limit}).all()
        with refusals_of(rows):
            if rows:
                cls.lease(session, [row.id for row in rows], now + SEND_LEASE, worker)
        return rows

    @classmethod
    def look_ahead(
        cls, session: Session, now: datetime, *, excluding: Collection[str] = (), refused: Collection[int] = ()
    ) -> tuple[bool, bool]:
        """Return whether an isolated row can be claimed, and whether accounts beside `default` have pending ones."""
        query = cls._look_ahead_query(is_excluding=bool(excluding), is_refusing=bool(refused))
        values = {"now": now, "excluding": [*excluding], "refused": [*refused]}
        has_isolated, other = session.execute(query, values).one()
        return bool(has_isolated), other is not None

    @classmethod
    @cache
    def _look_ahead_query(cls, *, is_excluding: bool, is_refusing: bool) -> Select[Any]:
        conditions = cls._is_claimable(is_isolated=True)
        if is_excluding:
            conditions = (*conditions, cls.fingerprint.not_in(bindparam("excluding", expanding=True)))
        if is_refusing:
            conditions = (*conditions, cls.id.not_in(bindparam("refused", expanding=True)))
        other = cls.first_other_account().scalar_subquery()
        return cast("Select[Any]", select(exists().where(*conditions), other))

    @classmethod
    @cache
    def _claim_query(cls, *, is_isolated: bool) -> "Select[Notification]":
        """Build the query once: that takes longer than the query."""
        order = (cls.crashes, cls.due_at, cls.id) if is_isolated else cls.due_order()
        query = select(cls).where(*cls._is_claimable(is_isolated=is_isolated)).order_by(*order)
        return query.limit(bindparam("limit", type_=Integer)).with_for_update(skip_locked=True)

    @classmethod
    def _is_claimable(cls, *, is_isolated: bool) -> tuple[Any, ...]:
        is_of_kind = cls.is_to_be_tried_alone() if is_isolated else (~cls.is_isolated,)
        return cls.is_due(NOW), *is_of_kind, ~cls._has_earlier_unsent()

    @classmethod
    def lease(cls, session: Session, ids: Sequence[int], until: datetime, worker: str) -> None:
        """Let no other worker send these rows until a time.

        Raises:
            RowsDiscarded: the database keeps some of them as they were: they would be sent again and again. A trigger
                that returns OLD updates a row without changing it.
        """
        leased = session.scalars(cls._lease_statement(), {"ids": ids, "until": until, "holder": worker}).all()
        if leased.count(True) < len(ids):
            raise RowsDiscarded(cls.__tablename__)

    @classmethod
    @cache
    def _lease_statement(cls) -> ReturningUpdate[Any]:
        table = table_of(cls)
        claimed = update(table).where(table.c.id.in_(bindparam("ids", expanding=True)))
        leased = claimed.values(due_at=bindparam("until"), claimed_by=bindparam("holder"))
        return leased.returning(table.c.due_at == bindparam("until"))

    @classmethod
    def release(
        cls, session: Session, claimed: "Iterable[Notification]", worker: str, until: datetime | None = None
    ) -> None:
        """Release claimed rows: due as before, or not before `until`. Nothing failed, so no attempt is counted."""
        due_before = {row.id: row.due_at for row in claimed}
        for row in cls.get_claimed(session, due_before, worker).values():
            row.due_at, row.claimed_by = max(due_before[row.id], until or due_before[row.id]), None

    @classmethod
    def get_for_update(cls, session: Session, ids: Collection[int]) -> "Sequence[Notification]":
        """Load and lock rows, ordered by id."""
        return session.scalars(select(cls).where(cls.id.in_(ids)).order_by(cls.id).with_for_update()).all()

    @classmethod
    def get_claimed(cls, session: Session, ids: Collection[int], worker: str) -> "dict[int, Notification]":
        """Lock and return by id the rows whose lease a worker still holds."""
        query = select(cls).where(cls.id.in_(ids), *cls._is_claimed_by(worker)).order_by(cls.id)
        rows = session.scalars(query.with_for_update())
        return {row.id: row for row in rows}

    @classmethod
    def renew_lease(cls, session: Session, ids: Collection[int], worker: str, now: datetime) -> None:
        """Renew the lease of rows that are still being sent."""
        statement = update(cls).where(cls.id.in_(ids), *cls._is_claimed_by(worker))
        update_rows(session, statement.values(due_at=now + SEND_LEASE))

    @classmethod
    def finish_all(cls, session: Session, sent: "Sequence[Notification]", worker: str, now: datetime) -> int:
        """Mark sent notifications done, with one statement.

        Returns:
            The number of rows whose lease the worker still had. The new holders of the others record their results.

        Raises:
            RowsDiscarded: it still has one that did not end.
        """
        for row in sent:
            row.finish(now)
        if not sent:
            return 0
        ids = [row.id for row in sent]
        finished = update_rows(session, cls._finish_statement(), {"ids": ids, "holder": worker, "now": now})
        if finished < len(sent) and cls.get_claimed(session, ids, worker):
            raise RowsDiscarded(cls.__tablename__)
        return finished

    @classmethod
    @cache
    def _finish_statement(cls) -> Update:
        table = table_of(cls)
        is_sent = table.c.id.in_(bindparam("ids", expanding=True))
        done = update(table).where(is_sent, *cls._is_claimed_by(bindparam("holder")))
        return done.values(status="done", ended_at=NOW, last_error=None, claimed_by=None)

    def end_without_sending(self, reason: str, now: datetime) -> None:
        """Mark it done without sending, with the reason."""
        self.finish(now)
        self.claimed_by, self.last_error = None, reason

    def ignore(self, reason: str, now: datetime) -> None:
        """End the notification on an operator's request, with the reason."""
        self.end_without_sending(f"ignored: {reason}", now)

    def replay(self, now: datetime) -> None:
        """Reset to pending, without a lease."""
        super().replay(now)
        self.claimed_by = None

    @classmethod
    def _is_claimed_by(cls, worker: str | BindParameter[str]) -> tuple[ColumnElement[bool], ...]:
        columns = table_of(cls).c
        return cls._is_unsent(columns), columns.claimed_by == worker

    @staticmethod
    def _is_unsent(notification: Any) -> ColumnElement[bool]:
        """SQL condition: pending, written so that the partial indexes of pending rows do not match.

        Otherwise a planner that expects few pending rows would scan them all for each row, instead of looking it up by
        id or by booking.
        """
        return cast("ColumnElement[bool]", notification.status.not_in(["done", "dead"]))

    @classmethod
    def _has_earlier_unsent(cls) -> Any:
        """SQL condition: an earlier notification of the same stream is still pending."""
        earlier = aliased(cls)
        return exists().where(*cls._is_unsent_of_stream(earlier), _unindexed_id(earlier) < cls.id)

    @classmethod
    def _is_unsent_of_stream(cls, other: Any) -> tuple[ColumnElement[bool], ...]:
        """SQL conditions: another notification of the same stream (booking, channel, recipient) is still pending."""
        return (
            other.booking_id == cls.booking_id,
            cls._is_unsent(other),
            other.fingerprint == cls.fingerprint,
            other.recipient == cls.recipient,
        )


@contextmanager
def refusals_of(claimed: Sequence[Notification]) -> Iterator[None]:
    """Tell when the database refuses to update one or more of these rows, by raising `ClaimRefused`."""
    try:
        yield
    except OperationalError:  # a lock or the connection: no row is to blame
        raise
    except (DBAPIError, RowsDiscarded) as error:
        raise ClaimRefused([row.id for row in claimed], error) from error


def _unindexed_id(notification: type[Notification]) -> ColumnElement[int]:
    """The id, written so that its index does not match.

    Before the first ANALYZE, a planner expects many notifications of each booking. It would then read the index of all
    ids up to the row's, for each row.
    """
    return notification.id + 0


def _can_be_superseded(row: dict[str, Any]) -> bool:
    return bool(row["is_late"]) and row["status"] == "pending" and row["kind"] != "summary"


def _recipient_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["booking_id"], row["fingerprint"], row["recipient"]


def _is_meeting_over(payload: dict[str, Any], now: datetime) -> bool:
    """Whether the meeting is over. If it was moved to the past, its former time counts too: its host still waits.

    A platform that lost its data also needs the bookings that are over.
    """
    if payload.get("again"):
        return False
    booking, before = payload.get("booking") or {}, payload.get("before") or {}
    meetings = [booking, booking | before, *payload.get("bookings", ())]
    ends = [end for each in meetings if (end := each.get("ends_at") or each.get("starts_at"))]
    return bool(ends) and max(map(datetime.fromisoformat, ends)) < now
