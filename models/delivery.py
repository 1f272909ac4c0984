"""The inbox: every authenticated body, kept until it is handled, and after."""

import base64
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Index, LargeBinary, String, Text, and_, exists, func, or_, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from meetergo.events import BookingEvent, Event, UnreadableBody
from models.retryable import MAX_CRASHES, RETRY_JOB_GRACE, Retryable, retryable_indexes
from runtime.database import Model, insert_new, partial_index
from runtime.encryption import BodyCipher, EncryptedBody
from runtime.signed_address import ACCOUNT

Source = Literal["webhook", "reconcile"]
ID = re.compile("[0-9a-f]{64}")
KEY_ID = re.compile("[0-9a-f]{0,12}")
LATE_AFTER = timedelta(minutes=10)
"""What is handled, or sent, later than this is old news: only the latest of it is worth telling."""

DueKind = Literal["new", "failed", "isolated"]
"""Never tried; tried, and left behind by its own job; and to be tried alone, see `Retryable.isolate`."""
DUE_KINDS: tuple[DueKind, ...] = get_args(DueKind)

IS_ISOLATED = text("deliveries.is_isolated")
"""As the index says it: SQLite compares words."""


class DueRow(NamedTuple):
    """A row that was taken: how large its body is, in bytes as it is stored."""

    id: str
    size: int


@dataclass(frozen=True)
class NewDelivery:
    """What is to be kept of one authenticated POST.

    Attributes:
        id: SHA-256 of the body as it came.
        account: whose inbox it is for.
        sealed: the body as it may be stored.
        received_at: when it came, UTC.
        source: how it came.
    """

    id: str
    account: str
    encrypted_body: EncryptedBody
    received_at: datetime
    source: Source = "webhook"

    @classmethod
    def from_body(
        cls, body: bytes, account: str, received_at: datetime, cipher: BodyCipher, source: Source = "webhook"
    ) -> "NewDelivery":
        """A body, named and sealed."""
        return cls(delivery_id(body), account, cipher.encrypt(body), received_at, source)


def delivery_id(body: bytes) -> str:
    """The id of a delivery: SHA-256 of its bytes, in hex."""
    return sha256(body).hexdigest()


def pack(new_delivery: NewDelivery) -> tuple[str, ...]:
    """A new delivery as JSON can hold it."""
    content = base64.b64encode(new_delivery.encrypted_body.content).decode()
    return (
        new_delivery.id,
        new_delivery.account,
        content,
        new_delivery.encrypted_body.key or "",
        new_delivery.received_at.isoformat(),
    )


def unpack(delivery_id: str, account: str, content: str, key: str, received_at: str) -> NewDelivery:
    """The new delivery again.

    Raises:
        ValueError: that is none that we packed.
    """
    moment = datetime.fromisoformat(received_at)
    if (
        not ID.fullmatch(delivery_id)
        or not ACCOUNT.fullmatch(account)
        or not KEY_ID.fullmatch(key)
        or not moment.tzinfo
    ):
        raise ValueError("not a delivery of ours")
    return NewDelivery(
        delivery_id, account, EncryptedBody(base64.b64decode(content, validate=True), key or None), moment
    )


class Delivery(Retryable, Model):
    """One authenticated POST that we accepted. The same bytes are the same delivery.

    `event` and `booking_id` are known once it was read; `note` says why nothing came of a delivery that is done.
    `replayed_for`: which of its news somebody wants who replayed it, the latest only or all; null if nobody did.
    """

    HANDLING_COLUMNS = ("status", "attempts", "due_at", "last_error", "ended_at", "event", "booking_id", "note")
    """What handling may change."""

    __tablename__ = "deliveries"
    __table_args__ = (
        *retryable_indexes("deliveries", "attempts", "due_at", "received_at", "id"),
        partial_index("ix_deliveries_booking_id", "booking_id", where="booking_id IS NOT NULL"),
        Index("ix_deliveries_received_at", "received_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(String(64))
    source: Mapped[Source] = mapped_column(String(16))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_with: Mapped[str | None] = mapped_column(String(12))
    event: Mapped[str | None] = mapped_column(String(100))
    booking_id: Mapped[str | None] = mapped_column(String(255))
    note: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime]
    replayed_for: Mapped[Literal["latest", "all"] | None] = mapped_column(String(6))

    @classmethod
    def accept(cls, connection: Connection | Session, new_deliveries: Iterable[NewDelivery]) -> None:
        """Keeps what came; a repeat changes nothing. In the order of ids, so that two receivers cannot deadlock."""
        rows = [
            dict(
                id=new_delivery.id,
                account=new_delivery.account,
                source=new_delivery.source,
                body=new_delivery.encrypted_body.content,
                sealed_with=new_delivery.encrypted_body.key,
                received_at=new_delivery.received_at,
                due_at=new_delivery.received_at,
                status="pending",
                attempts=0,
            )
            for new_delivery in sorted(new_deliveries, key=_by_id)
        ]
        connection.execute(insert_new(connection, cls, "id"), rows)

    @property
    def encrypted_body(self) -> EncryptedBody:
        """The body as it is stored: see `BodyCipher.open`."""
        return EncryptedBody(self.body, self.sealed_with)

    @classmethod
    def due(cls, session: Session, now: datetime) -> Sequence[DueKind]:
        """Which kinds of deliveries anybody may handle now. It locks nothing."""
        found = session.execute(select(*(exists().where(*cls._is_due(kind, now)) for kind in DUE_KINDS))).one()
        return [kind for kind, is_there in zip(DUE_KINDS, found, strict=True) if is_there]

    @classmethod
    def claim_due(
        cls, session: Session, kind: DueKind, now: datetime, limit: int, only: Collection[str] | None = None
    ) -> Sequence[DueRow]:
        """Deliveries that anybody may handle now, locked; those that another worker holds are passed over.

        What became due together, such as by a replay, is taken in the order in which it came.

        Args:
            session: of the transaction.
            kind: which ones.
            now: the time, UTC.
            limit: how many.
            only: take only of these; None for any.
        """
        query = select(cls.id, func.length(cls.body)).where(*cls._is_due(kind, now)).order_by(*cls._order(kind))
        if only is not None:
            query = query.where(cls.id.in_(only))
        rows = session.execute(query.limit(limit).with_for_update(skip_locked=True))
        return [DueRow(*row) for row in rows]

    @classmethod
    def load(cls, session: Session, ids: Sequence[str]) -> Sequence["Delivery"]:
        """Those rows, in this order; of a row that is gone, nothing."""
        rows = {row.id: row for row in session.scalars(select(cls).where(cls.id.in_(ids)))}
        return [rows[key] for key in ids if key in rows]

    @classmethod
    def mark_unloadable_dead(cls, session: Session, delivery_id: str, reason: str, now: datetime) -> "Delivery":
        """Ends a row that cannot be loaded, as with a time that no calendar knows, and makes it one that can be."""
        times = dict(due_at=now, ended_at=now)
        ended = dict(status="dead", attempts=cls.attempts + 1, last_error=reason, **times)
        statement = update(cls).where(cls.id == delivery_id).execution_options(synchronize_session=False)
        session.execute(statement.values(ended))
        try:
            return session.get_one(cls, delivery_id, populate_existing=True)
        except (ValueError, OverflowError, DataError):
            session.execute(statement.values(received_at=now))
            return session.get_one(cls, delivery_id, populate_existing=True)

    @classmethod
    def isolate_all(cls, session: Session, ids: Collection[str]) -> None:
        """Something went wrong with one of these rows, and nobody knows with which: see `Retryable.isolate`."""
        query = update(cls).where(cls.id.in_(ids), cls.has_status("pending"))
        session.execute(query.values(is_isolated=True), execution_options={"synchronize_session": False})

    @classmethod
    def is_due(cls, now: datetime) -> ColumnElement[bool]:
        """Rows that the bell's job takes. Those that were never tried are due whatever a clock made of `due_at`."""
        was_tried = and_(cls.attempts > 0, cls.due_at <= now - RETRY_JOB_GRACE)
        return and_(cls.has_status("pending"), or_(cls.attempts == 0, was_tried))

    @classmethod
    def is_overdue(cls, now: datetime, after: timedelta) -> ColumnElement[bool]:
        """Those that have been due for so long, as far as clocks can tell, and that nobody took."""
        return and_(cls.is_due(now - after), or_(cls.due_at <= now - after, cls.due_at > now + after))

    @classmethod
    def _is_due(cls, kind: DueKind, now: datetime) -> tuple[Any, ...]:
        if kind == "new":
            return cls.has_status("pending"), cls.attempts == 0, cls.is_isolated.is_(False)
        if kind == "failed":
            is_past_grace = cls.due_at <= now - RETRY_JOB_GRACE
            return cls.has_status("pending"), cls.attempts > 0, is_past_grace, cls.is_isolated.is_(False)
        return cls.is_due(now), cls.crashes < MAX_CRASHES, IS_ISOLATED

    @classmethod
    def _order(cls, kind: DueKind) -> tuple[Any, ...]:
        if kind == "isolated":
            return cls.crashes, cls.due_at, cls.id
        return cls.attempts, cls.due_at, cls.received_at, cls.id

    @classmethod
    def get_for_update(cls, session: Session, ids: Collection[str]) -> Sequence["Delivery"]:
        """Those rows as they are now, locked; always in the same order, so that two operators cannot deadlock."""
        return session.scalars(select(cls).where(cls.id.in_(ids)).order_by(cls.id).with_for_update()).all()

    def set_event(self, event: Event | UnreadableBody) -> None:
        """Keeps what operators search by; of a body that cannot be read, as far as it says."""
        if isinstance(event, UnreadableBody):
            self.event, self.booking_id = event.event, event.booking_id
        else:
            self.event, self.booking_id = event.type, event.booking_id if isinstance(event, BookingEvent) else None

    def replay(self, now: datetime, *, superseded: bool = False) -> None:
        """Start over; why nothing came of it before is not true any more.

        Args:
            now: the time, UTC.
            superseded: whether all of its news is wanted, not only what is still the latest.
        """
        super().replay(now)
        self.note, self.replayed_for = None, "all" if superseded else "latest"

    def is_late(self, now: datetime) -> bool:
        """Whether what it says is old news, because it was replayed or has waited for long."""
        return self.replayed_for == "latest" or (self.replayed_for is None and now - self.received_at > LATE_AFTER)

    def ignore(self, reason: str, now: datetime) -> None:
        """Nobody is to try it any more: it will never work."""
        self.finish(now)
        self.note = f"ignored: {reason}"


def _by_id(new_delivery: NewDelivery) -> str:
    return new_delivery.id
