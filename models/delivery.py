"""The inbox: every authenticated body, kept until it is handled, and after."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from sqlalchemy import Index, LargeBinary, String, Text, and_, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, Session, mapped_column

from meetergo.events import BookingEvent, Event, Unreadable
from models.database import Model, insert_new, partial_index
from models.todo import Todo, indexes
from models.vault import Sealed, Vault

Source = Literal["webhook", "reconcile"]


@dataclass(frozen=True)
class Letter:
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
    sealed: Sealed
    received_at: datetime
    source: Source = "webhook"

    @classmethod
    def of(cls, body: bytes, account: str, received_at: datetime, vault: Vault, source: Source = "webhook") -> "Letter":
        """A body, named and sealed."""
        return cls(identify(body), account, vault.seal(body), received_at, source)


def identify(body: bytes) -> str:
    """The id of a delivery: SHA-256 of its bytes, in hex."""
    return sha256(body).hexdigest()


class Delivery(Todo, Model):
    """One authenticated POST that we accepted. The same bytes are the same delivery.

    `event` and `booking_id` are known once it was read; `note` says why nothing came of a delivery that is done.
    """

    HANDLED = ("status", "attempts", "due_at", "last_error", "ended_at", "event", "booking_id", "note")
    """What handling may change."""

    __tablename__ = "deliveries"
    __table_args__ = (
        *indexes("deliveries", "received_at", "id"),
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

    @classmethod
    def accept(cls, connection: Connection | Session, letters: Iterable[Letter]) -> None:
        """Keeps what came; a repeat changes nothing. In the order of ids, so that two receivers cannot deadlock."""
        rows = [
            dict(
                id=letter.id,
                account=letter.account,
                source=letter.source,
                body=letter.sealed.content,
                sealed_with=letter.sealed.key,
                received_at=letter.received_at,
                due_at=letter.received_at,
                status="pending",
                attempts=0,
            )
            for letter in sorted(letters, key=_id)
        ]
        connection.execute(insert_new(connection, cls, "id"), rows)

    @classmethod
    def reseal(cls, session: Session, vault: Vault, most: int) -> int:
        """Seals some bodies with the newest key that are not yet.

        Returns:
            How many; none are left when it is zero.

        Raises:
            Transient: a body cannot be opened.
        """
        is_old = and_(cls.sealed_with.is_distinct_from(vault.newest), cls.body != b"")
        rows = session.scalars(select(cls).where(is_old).order_by(cls.id).limit(most).with_for_update()).all()
        for row in rows:
            sealed = vault.seal(vault.open(row.sealed))
            row.body, row.sealed_with = sealed.content, sealed.key
        return len(rows)

    @property
    def sealed(self) -> Sealed:
        """The body as it is stored: see `Vault.open`."""
        return Sealed(self.body, self.sealed_with)

    @classmethod
    def take_due(cls, session: Session, now: datetime, most: int) -> Sequence["Delivery"]:
        """Deliveries that anybody may handle now, locked; those that another worker holds are passed over.

        What became due together, such as by a replay, is taken in the order in which it came.
        """
        query = select(cls).where(cls.is_due(now)).order_by(cls.due_at, cls.received_at, cls.id).limit(most)
        return session.scalars(query.with_for_update(skip_locked=True)).all()

    @classmethod
    def locked(cls, session: Session, ids: Collection[str]) -> Sequence["Delivery"]:
        """Those rows as they are now, locked; always in the same order, so that two operators cannot deadlock."""
        return session.scalars(select(cls).where(cls.id.in_(ids)).order_by(cls.id).with_for_update()).all()

    def tell_of(self, event: Event | Unreadable) -> None:
        """Keeps what operators search by; of a body that cannot be read, as far as it says."""
        if isinstance(event, Unreadable):
            self.event, self.booking_id = event.event, event.booking_id
        else:
            self.event, self.booking_id = event.type, event.booking_id if isinstance(event, BookingEvent) else None

    def replay(self, now: datetime) -> None:
        """Start over; why nothing came of it before is not true any more."""
        super().replay(now)
        self.note = None

    def ignore(self, reason: str, now: datetime) -> None:
        """Nobody is to try it any more: it will never work."""
        self.finish(now)
        self.note = f"ignored: {reason}"


def _id(letter: Letter) -> str:
    return letter.id
