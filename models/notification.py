"""The outbox: news that we owe somebody, written with the change that made it, sent after."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import Any

from sqlalchemy import ForeignKey, Index, Select, String, Text, and_, exists, false, func, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from models.booking import BookingChange, NotificationKind
from models.delivery import LATE, Delivery
from models.retryable import Retryable, indexes
from runtime.bulk import insert_missing
from runtime.database import Model

RESEND_COLUMNS = (
    "booking_id",
    "platform_user_id",
    "delivery_id",
    "kind",
    "channel",
    "recipient",
    "fingerprint",
    "payload",
)
"""What a copy says as the first one did."""
KEY_BYTES = 32
ENDED_AT_ONCE = 500
IS_OVER = "not sent: the meeting is over"
IS_SUPERSEDED = "not sent: a later message says more"
SEND_LEASE = timedelta(seconds=60)
"""How long a sender has before another may send the same: longer than any channel's deadline, and renewed."""


class Notification(Retryable, Model):
    """One piece of news for one recipient by one channel, owed once.

    `channel` and `recipient` are safe to show; the channel's URL, which may hold a secret, is found again by
    its `fingerprint`. `delivery_id` names what made it news; that may be pruned earlier. `payload` is the news as
    it was when it was made, so that every attempt says the same. `is_late`: a replay or a late delivery made it, so it
    is only worth sending while nothing newer is there for its reader. `claimed_by` names the worker that has its lease.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        *indexes("notifications", "due_at", "id"),
        Index("ix_notifications_booking_id_key", "booking_id", "key", unique=True),
        Index("ix_notifications_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    booking_id: Mapped[str] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
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
        """News that a delivery caused: found by the bookings that it changed, it needs no index of its own."""
        changed = select(BookingChange.booking_id).where(BookingChange.caused_by(delivery))
        return and_(cls.booking_id.in_(changed), cls.delivery_id == delivery.id)

    def is_over(self, now: datetime) -> bool:
        """Whether its meeting has ended, so that it is not worth sending any more."""
        return _is_over(self.payload, now)

    @property
    def message_id(self) -> str:
        """The same on every attempt, so that who receives it can tell a repeat."""
        return f"msg_{self.key[:32]}"

    @classmethod
    def owed(cls, *, version: str, now: datetime, **columns: Any) -> dict[str, Any]:
        """The row of one piece of news, for `owe`; named after what is told to whom, so that it is owed once.

        Args:
            version: names the change, such as the booking's revision: each change makes a new one, and no repeat does.
            now: when it happened, UTC.
            columns: the rest. What is over already ends here, and says why.
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
        over = dict(status="done", ended_at=now, last_error=IS_OVER) if _is_over(columns["payload"], now) else {}
        return {**row, "is_late": False, **columns, **over}

    @classmethod
    def owe(cls, session: Session, rows: Sequence[dict[str, Any]]) -> int:
        """Writes what is not owed already, and was not told. Of what comes late only the last of each reader goes out.

        Returns:
            How many are new.
        """
        last = {_reader(row): row["key"] for row in rows if row["is_late"] and row["status"] == "pending"}
        if last:
            cls._supersede(session, last.keys(), rows[0]["created_at"])
        ended = dict(status="done", last_error=IS_SUPERSEDED)
        written = [
            row
            if not row["is_late"] or row["status"] != "pending" or last[_reader(row)] == row["key"]
            else {**row, **ended, "ended_at": row["created_at"]}
            for row in rows
        ]
        return insert_missing(session, cls, written, "booking_id", "key")

    @classmethod
    def superseded(cls, session: Session, now: datetime) -> Sequence[int]:
        """Ids of what has waited for long and says less than what waits behind it: a channel was down."""
        later = aliased(cls)
        its = (later.booking_id == cls.booking_id, later.fingerprint == cls.fingerprint, later.id > cls.id)
        follows = exists().where(*its, later.recipient == cls.recipient, later.status.not_in(["done", "dead"]))
        has_waited = and_(cls.has_status("pending"), cls.created_at < now - LATE, cls.due_at <= now, follows)
        return session.scalars(select(cls.id).where(has_waited).order_by(cls.id).limit(ENDED_AT_ONCE)).all()

    @classmethod
    def end_superseded(cls, session: Session, ids: Collection[int], now: datetime) -> None:
        """Ends those that still wait."""
        for row in cls.locked(session, ids).values():
            if row.status == "pending":
                row.end_unsent(IS_SUPERSEDED, now)

    @classmethod
    def _supersede(cls, session: Session, readers: Iterable[tuple[str, str, str]], now: datetime) -> None:
        """Ends what came late, too, and still waits for these readers."""
        its = tuple_(cls.booking_id, cls.fingerprint, cls.recipient).in_([*readers])
        ended = update(cls).where(cls.has_status("pending"), cls.is_late, its)
        values = dict(status="done", ended_at=now, last_error=IS_SUPERSEDED)
        session.execute(ended.values(values), execution_options={"synchronize_session": False})

    def is_superseded(self, session: Session) -> bool:
        """Whether there is something newer of the same booking for its reader, told or still to be."""
        its_reader = select(Notification).where(
            Notification.booking_id == self.booking_id,
            Notification.fingerprint == self.fingerprint,
            Notification.recipient == self.recipient,
        )
        others = (row for row in session.scalars(its_reader) if not (row.status == "done" and row.last_error))
        return any(row.revision > self.revision for row in others)

    def send_again(self, session: Session, now: datetime, *, is_late: bool = False) -> "Notification":
        """A copy that goes out once more, on purpose: its message id is new, or who receives it would drop it.

        `is_late`: whether it is only worth sending while nothing newer is there.

        Whoever calls this records who wanted it: see `Intervention`.
        """
        said = {name: getattr(self, name) for name in RESEND_COLUMNS}
        new = dict(key=token_hex(KEY_BYTES), status="pending", attempts=0, due_at=now, created_at=now, is_late=is_late)
        copy = Notification(**new, **said)
        session.add(copy)
        session.flush()
        return copy

    def is_waiting(self, session: Session) -> bool:
        """Whether this, or a copy of it, is still to go out."""
        its_like = select(Notification).where(
            Notification.booking_id == self.booking_id,
            Notification.status == "pending",
            Notification.fingerprint == self.fingerprint,
            Notification.recipient == self.recipient,
        )
        return any(row.news == self.news for row in session.scalars(its_like))

    @property
    def news(self) -> tuple[str, str, str, str, int]:
        """What is told to whom by what: the same for a notification and its copies."""
        return self.booking_id, self.kind, self.fingerprint, self.recipient, self.revision

    @property
    def revision(self) -> int:
        """Of the booking, when this was news."""
        return int(self.payload["booking"].get("revision", 0))

    def fingerprints_of_news(self, session: Session) -> set[str]:
        """The channels by which this was told, or is still to be told."""
        its = (Notification.booking_id == self.booking_id, Notification.kind == self.kind)
        rows = session.scalars(select(Notification).where(*its, Notification.status != "dead"))
        return {row.fingerprint for row in rows if row.revision == self.revision}

    def address(self, *, fingerprint: str, channel: str, recipient: str) -> None:
        """From now on it goes by this channel. Its id stays: nobody has heard it yet."""
        self.fingerprint, self.channel, self.recipient = fingerprint, channel, recipient

    @classmethod
    def claim(
        cls, session: Session, now: datetime, most: int, worker: str, *, without: Collection[str] = ()
    ) -> "Sequence[Notification]":
        """The next ones to send, as they were, and kept from other senders for a while: see `lease`.

        Earlier news of the same stream goes first: of each stream it is one at most.

        Args:
            session: of a transaction.
            now: the time, UTC.
            most: how many.
            worker: who claims them.
            without: fingerprints of channels that are not to be used now.
        """
        query = select(cls).where(cls.is_due(now), ~cls.is_isolated, ~cls._follows_another())
        return cls._claim(session, query.order_by(cls.due_at, cls.id).limit(most), now, worker, without)

    @classmethod
    def claim_isolated(
        cls, session: Session, now: datetime, worker: str, *, without: Collection[str] = ()
    ) -> "Sequence[Notification]":
        """The same for one that has to be sent alone, since a worker died at it or at others of its batch."""
        query = cls._isolated(now).order_by(cls.crashes, cls.due_at, cls.id).limit(1)
        return cls._claim(session, query, now, worker, without)

    @classmethod
    def has_isolated(cls, session: Session, now: datetime, *, without: Collection[str] = ()) -> bool:
        """Whether `claim_isolated` would find one."""
        query = cls._isolated(now)
        if without:
            query = query.where(cls.fingerprint.not_in(without))
        return bool(session.scalar(select(query.exists())))

    @classmethod
    def _isolated(cls, now: datetime) -> "Select[Notification]":
        return select(cls).where(cls.is_due(now), cls.is_isolated, ~cls._follows_another())

    @classmethod
    def _claim(
        cls,
        session: Session,
        query: "Select[Notification]",
        now: datetime,
        worker: str,
        without: Collection[str],
    ) -> "Sequence[Notification]":
        if without:
            query = query.where(cls.fingerprint.not_in(without))
        rows = session.scalars(query.with_for_update(skip_locked=True)).all()
        if rows:
            lease = update(cls).where(cls.id.in_([row.id for row in rows]))
            values = dict(due_at=now + SEND_LEASE, claimed_by=worker)
            session.execute(lease.values(values), execution_options={"synchronize_session": False})
        return rows

    @classmethod
    def give_back(
        cls, session: Session, claimed: "Iterable[Notification]", worker: str, until: datetime | None = None
    ) -> None:
        """What was claimed is due again: as it was, or not before a time. Nothing failed, so no attempt is counted."""
        was_due = {row.id: row.due_at for row in claimed}
        for row in cls.held(session, was_due, worker).values():
            row.due_at, row.claimed_by = max(was_due[row.id], until or was_due[row.id]), None

    @classmethod
    def locked(cls, session: Session, ids: Collection[int]) -> "dict[int, Notification]":
        """Those rows by id, locked for this transaction."""
        rows = session.scalars(select(cls).where(cls.id.in_(ids)).order_by(cls.id).with_for_update())
        return {row.id: row for row in rows}

    @classmethod
    def held(cls, session: Session, ids: Collection[int], worker: str) -> "dict[int, Notification]":
        """Those rows by id that a worker still has the lease of, locked for this transaction."""
        query = select(cls).where(cls.id.in_(ids), *cls._is_held(worker)).order_by(cls.id)
        rows = session.scalars(query.with_for_update())
        return {row.id: row for row in rows}

    @classmethod
    def renew(cls, session: Session, ids: Collection[int], worker: str, now: datetime) -> None:
        """Prolongs the lease of what is still being sent."""
        longer = update(cls).where(cls.id.in_(ids), *cls._is_held(worker)).values(due_at=now + SEND_LEASE)
        session.execute(longer, execution_options={"synchronize_session": False})

    @classmethod
    def finish_all(cls, session: Session, sent: "Sequence[Notification]", worker: str, now: datetime) -> int:
        """They were sent: says so in one statement, and of each.

        Returns:
            How many of them the worker had the lease of; of others their new holder says what became of them.
        """
        for row in sent:
            row.finish(now)
        if not sent:
            return 0
        done = update(cls).where(cls.id.in_([row.id for row in sent]), *cls._is_held(worker))
        its = dict(status="done", ended_at=now, last_error=None, claimed_by=None)
        result = session.execute(done.values(its), execution_options={"synchronize_session": False})
        return int(result.rowcount)  # type: ignore[attr-defined]

    @classmethod
    def first_failure(cls, session: Session, notification: "Notification") -> datetime | None:
        """When it failed first since it started over; None if it did not."""
        from models.attempt import FailedAttempt  # late: it imports this

        of_it = (FailedAttempt.notification_id == notification.id, FailedAttempt.number == 1)
        return session.scalar(select(func.max(FailedAttempt.at)).where(*of_it)) if notification.attempts else None

    def end_unsent(self, reason: str, now: datetime) -> None:
        """It is not worth sending any more."""
        self.finish(now)
        self.claimed_by, self.last_error = None, reason

    def ignore(self, reason: str, now: datetime) -> None:
        """Nobody is to try it any more: it will never work."""
        self.end_unsent(f"ignored: {reason}", now)

    def replay(self, now: datetime) -> None:
        """Start over; nobody has the lease of it."""
        super().replay(now)
        self.claimed_by = None

    def lease(self, now: datetime, worker: str) -> None:
        """Keeps it from other senders for as long as one try may take."""
        self.due_at, self.claimed_by = now + SEND_LEASE, worker

    @classmethod
    def _is_held(cls, worker: str) -> tuple[ColumnElement[bool], ...]:
        return cls.has_status("pending"), cls.claimed_by == worker

    @classmethod
    def _follows_another(cls) -> Any:
        """Whether earlier news of the same stream still has to go out.

        It asks for what has not ended, not for what is pending: a planner that expects few such rows would read all
        of them for each, and not those of the booking.
        """
        earlier = aliased(cls)
        return exists().where(
            earlier.booking_id == cls.booking_id,
            earlier.status.not_in(["done", "dead"]),
            earlier.fingerprint == cls.fingerprint,
            earlier.recipient == cls.recipient,
            earlier.id < cls.id,
        )


def _reader(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["booking_id"], row["fingerprint"], row["recipient"]


def _is_over(payload: dict[str, Any], now: datetime) -> bool:
    """Of a meeting that was moved into the past, the time before counts too: its host still waits for it."""
    booking, before = payload.get("booking") or {}, payload.get("before") or {}
    meetings = [booking, booking | before, *payload.get("bookings", ())]
    ends = [end for each in meetings if (end := each.get("ends_at") or each.get("starts_at"))]
    return bool(ends) and max(map(datetime.fromisoformat, ends)) < now
