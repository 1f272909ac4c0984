"""The inbox: the table of deliveries, which holds every authenticated body."""

import base64
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, Literal, NamedTuple, cast, get_args

from sqlalchemy import (
    Index,
    Integer,
    LargeBinary,
    Select,
    String,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from meetergo.events import BookingEvent, Event, UnreadableBody
from models.account import DEFAULT, IS_OTHER, is_of
from models.retryable import MAX_ATTEMPTS, Moment, Retryable, retryable_indexes
from runtime.database import (
    Model,
    RowsDiscarded,
    Utc,
    in_range,
    is_postgresql,
    partial_index,
    qualified_name,
    sqlite_text,
    update_rows,
)
from runtime.encryption import BodyCipher, EncryptedBody
from runtime.signed_address import ACCOUNT

Source = Literal["webhook", "reconcile"]
ID = re.compile("[0-9a-f]{64}")
KEY_ID = re.compile("[0-9a-f]{0,12}")
LATE_AFTER = timedelta(minutes=10)
"""A delivery handled later than this, or a notification sent later, is late: only the latest notification is sent."""

DueKind = Literal["new", "failed", "isolated"]
"""Never tried; failed; or to be handled alone (see `Retryable.isolate`)."""
DUE_KINDS: tuple[DueKind, ...] = get_args(DueKind)

NOW = bindparam("now", type_=Utc())

COLUMNS = "id, account, source, body, sealed_with, received_at, due_at, status, attempts"
INSERT_ARRAYS = f"""
INSERT INTO {{}} ({COLUMNS})
SELECT id, account, source, body, sealed_with, received_at, received_at, 'pending', 0
FROM unnest(%b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::timestamptz[])
AS given (id, account, source, body, sealed_with, received_at) ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - names of ours
"""For PostgreSQL. With SQLAlchemy's own INSERT, the driver sends a message per row, which costs twice as much."""
INSERT_ROW = f"""
INSERT INTO deliveries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', 0) ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - names of ours
"""For SQLite. SQLAlchemy's own processing of each value would cost the receiver a twentieth more."""


class Due(NamedTuple):
    """What is due now.

    Attributes:
        kinds: the kinds of deliveries that are due.
        is_shared: whether an account beside `default` has some that are pending.
    """

    kinds: Sequence[DueKind]
    is_shared: bool = False


class DueRow(NamedTuple):
    """A claimed row: its id and the size of its stored body in bytes."""

    id: str
    size: int


@dataclass(frozen=True)
class NewDelivery:
    """The values of a delivery to insert.

    Attributes:
        id: see `delivery_id`.
        account: the account that it is for.
        encrypted_body: the body in its stored form.
        received_at: when it was received, UTC.
        source: where it came from.
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
        """Create a delivery from a raw body: compute its id and encrypt it."""
        return cls(delivery_id(body, account), account, cipher.encrypt(body), received_at, source)


def delivery_id(body: bytes, account: str) -> str:
    """Return the id of a delivery: SHA-256 of its body, in hex.

    In an account beside `default`, of its name, a zero byte and the body: the same bytes are another delivery there.
    """
    return sha256(body if account == DEFAULT else account.encode() + b"\0" + body).hexdigest()


def pack(new_delivery: NewDelivery) -> tuple[str, ...]:
    """Serialize a new delivery to strings, for a job's JSON arguments."""
    content = base64.b64encode(new_delivery.encrypted_body.content).decode()
    return (
        new_delivery.id,
        new_delivery.account,
        content,
        new_delivery.encrypted_body.key or "",
        new_delivery.received_at.isoformat(),
    )


def unpack(delivery_id: str, account: str, content: str, key: str, received_at: str) -> NewDelivery:
    """Restore a packed delivery.

    Raises:
        ValueError: the strings were not made by `pack`.
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
    """One accepted webhook. Identical bodies are the same delivery.

    `event` and `booking_id` are set once the body was parsed. `note` says why a delivery that is done had no effect.
    `replayed_for` says which notifications a replay may send: only the latest, or all; null if it was not replayed.
    """

    HANDLING_COLUMNS = ("status", "attempts", "due_at", "last_error", "ended_at", "event", "booking_id", "note")
    """The columns that handling may change."""
    CHANGED_BY_EACH_UPDATE = ("status", "attempts")
    DUE_ORDER = ("attempts", "due_at", "received_at", "id")

    __tablename__ = "deliveries"
    __table_args__ = (
        partial_index("ix_deliveries_of_account", "account", "received_at", "id", where=IS_OTHER),
        *retryable_indexes("deliveries", *DUE_ORDER),
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
        """Insert deliveries, ignoring duplicates. They are sorted by id, so that two receivers cannot deadlock.

        Raises:
            RowsDiscarded: a trigger of the platform's keeps them out of the table, without an error.
        """
        rows = sorted(map(_inserted, new_deliveries), key=itemgetter(0))
        core = connection.connection() if isinstance(connection, Session) else connection
        if is_postgresql(core):
            statement = INSERT_ARRAYS.format(qualified_name(core, cls))
            inserted = core.exec_driver_sql(statement, tuple(map(list, zip(*rows, strict=True))))
        else:
            inserted = core.exec_driver_sql(INSERT_ROW, [_in_sqlite(*row) for row in rows])
        if inserted.rowcount < len(rows):
            ids = {row[0] for row in rows}
            if len(ids) > len(core.scalars(select(cls.id).where(cls.id.in_(ids))).all()):
                raise RowsDiscarded(cls.__tablename__)

    @property
    def encrypted_body(self) -> EncryptedBody:
        """The stored body; see `BodyCipher.decrypt`."""
        return EncryptedBody(self.body, self.sealed_with)

    @classmethod
    def due(cls, connection: Connection | Session, now: datetime) -> Due:
        """Return the kinds of deliveries that are due now. Takes no locks."""
        *found, other = connection.execute(cls._due_query(), {"now": now}).one()
        return Due([kind for kind, is_there in zip(DUE_KINDS, found, strict=True) if is_there], other is not None)

    @classmethod
    @cache
    def _due_query(cls) -> Select[Any]:
        """Build the query once: that takes longer than the query."""
        of_kinds = (exists().where(*cls._is_due(kind, NOW)) for kind in DUE_KINDS)
        return cast("Select[Any]", select(*of_kinds, cls.first_other_account().scalar_subquery()))

    @classmethod
    def claim_due(
        cls,
        session: Session,
        kind: DueKind,
        now: datetime,
        limit: int,
        only: Collection[str] | None = None,
        refused: Collection[str] = (),
        account: str | None = None,
    ) -> Sequence[DueRow]:
        """Lock and return due deliveries, skipping those that another worker holds.

        Deliveries that became due together, for example by a replay, are claimed in the order they were received.

        Args:
            session: session of the transaction.
            kind: the kind of deliveries to claim.
            now: the time, UTC.
            limit: maximum number of rows.
            only: ids to choose from; None for any.
            refused: ids of rows that the database does not let us update.
            account: the account to choose from; None for any.
        """
        query = cls._claim_query(kind, is_chosen=only is not None)
        if refused:
            query = query.where(cls.id.not_in(refused))
        if account is not None:
            query = query.where(*is_of(cls, account))
        rows = session.execute(query, {"now": now, "only": [*(only or ())], "limit": limit})
        return [DueRow(*row) for row in rows]

    @classmethod
    @cache
    def _claim_query(cls, kind: DueKind, *, is_chosen: bool) -> Select[Any]:
        query = select(cls.id, func.length(cls.body)).where(*cls._is_due(kind, NOW)).order_by(*cls._order(kind))
        if is_chosen:
            query = query.where(cls.id.in_(bindparam("only", expanding=True)))
        query = query.limit(bindparam("limit", type_=Integer)).with_for_update(skip_locked=True)
        return cast("Select[Any]", query)

    @classmethod
    def load(cls, session: Session, ids: Sequence[str]) -> Sequence["Delivery"]:
        """Load rows in the given order, leaving out those that no longer exist."""
        rows = {row.id: row for row in session.scalars(cls._load_query(), {"ids": ids})}
        return [rows[key] for key in ids if key in rows]

    @classmethod
    @cache
    def _load_query(cls) -> "Select[Delivery]":
        return select(cls).where(cls.id.in_(bindparam("ids", expanding=True)))

    @classmethod
    def mark_unloadable_dead(cls, session: Session, delivery_id: str, reason: str, now: datetime) -> "Delivery":
        """Mark a row dead that cannot be loaded, such as one with an impossible date, and make it loadable."""
        times = dict(due_at=now, ended_at=now)
        ended = dict(status="dead", attempts=cls.attempts + 1, last_error=reason, **times)
        statement = update(cls).where(cls.id == delivery_id)
        update_rows(session, statement.values(ended))
        try:
            return session.get_one(cls, delivery_id, populate_existing=True)
        except (ValueError, OverflowError, DataError):
            update_rows(session, statement.values(received_at=now))
            return session.get_one(cls, delivery_id, populate_existing=True)

    @classmethod
    def isolate_all(cls, session: Session, ids: Collection[str]) -> None:
        """Isolate all these rows, since it is unknown which of them failed; see `Retryable.isolate`.

        Raises:
            RowsDiscarded: a trigger of the platform's keeps some as they were, without an error.
        """
        are_pending = (cls.id.in_(ids), cls.has_status("pending"))
        update_rows(session, update(cls).where(*are_pending).values(is_isolated=True))
        if session.scalar(select(exists().where(*are_pending, ~cls.is_isolated))):
            raise RowsDiscarded(cls.__tablename__)

    @classmethod
    def is_due(cls, now: Moment) -> ColumnElement[bool]:
        """Rows that a drain job takes. Untried rows are always due: a wrong clock may have set their `due_at`."""
        return and_(cls.has_status("pending"), or_(cls.attempts == 0, cls.due_at <= now))

    @classmethod
    def became_due(cls, since: Moment, now: Moment) -> ColumnElement[bool]:
        """Rows that became due after `since`.

        Each number of attempts is named, so that the index, which begins with it, is not scanned past other rows.
        """
        return and_(cls.attempts.in_(range(MAX_ATTEMPTS)), super().became_due(since, now))

    @classmethod
    def is_overdue(cls, now: datetime, after: timedelta) -> ColumnElement[bool]:
        """Rows that have been due for at least `after`, as far as clocks can tell, and were not claimed."""
        return and_(cls.is_due(now - after), or_(cls.due_at <= now - after, cls.due_at > now + after))

    @classmethod
    def _is_due(cls, kind: DueKind, now: Moment) -> tuple[Any, ...]:
        if kind == "new":
            return cls.has_status("pending"), cls.attempts == 0, cls.is_isolated.is_(False)
        if kind == "failed":
            return cls.has_status("pending"), cls.attempts > 0, cls.due_at <= now, cls.is_isolated.is_(False)
        return cls.is_due(now), *cls.is_to_be_tried_alone()

    @classmethod
    def _order(cls, kind: DueKind) -> tuple[Any, ...]:
        return (cls.crashes, cls.due_at, cls.id) if kind == "isolated" else cls.due_order()

    @classmethod
    def get_for_update(cls, session: Session, ids: Collection[str]) -> Sequence["Delivery"]:
        """Load and lock rows, ordered by id so that two operators cannot deadlock."""
        return session.scalars(select(cls).where(cls.id.in_(ids)).order_by(cls.id).with_for_update()).all()

    def await_check(self, until: datetime) -> None:
        """Handle the delivery alone, once meetergo has confirmed it, and not before `until`.

        The delivery did not fail. One attempt is counted so that `due_at` applies: see `is_due`.
        """
        self.is_isolated, self.attempts, self.due_at = True, max(1, self.attempts), until

    def set_event(self, event: Event | UnreadableBody) -> None:
        """Set the columns that operators search by. Of an unreadable body, as much as is known."""
        self.event = event.event if isinstance(event, UnreadableBody) else event.type
        self.booking_id = event.booking_id if isinstance(event, BookingEvent) else None

    def replay(self, now: datetime, *, superseded: bool = False) -> None:
        """Reset to pending and clear the note.

        Args:
            now: the time, UTC.
            superseded: whether to send superseded notifications too, not only the latest.
        """
        super().replay(now)
        self.note, self.replayed_for = None, "all" if superseded else "latest"

    def is_late(self, now: datetime) -> bool:
        """Whether its notifications are late, because it was replayed or has waited too long."""
        return self.replayed_for == "latest" or (self.replayed_for is None and now - self.received_at > LATE_AFTER)

    def ignore(self, reason: str, now: datetime) -> None:
        """End the delivery without handling it, and note the reason."""
        self.finish(now)
        self.note = f"ignored: {reason}"


Inserted = tuple[str, str, str, bytes, str | None, datetime]
"""The values of a new row that differ from row to row, beginning with its id."""


def _inserted(new_delivery: NewDelivery) -> Inserted:
    body, received_at = new_delivery.encrypted_body, in_range(new_delivery.received_at)
    return new_delivery.id, new_delivery.account, new_delivery.source, body.content, body.key, received_at


def _in_sqlite(*values: Any) -> tuple[Any, ...]:
    *others, received_at = values
    return *others, *[sqlite_text(received_at)] * 2
