"""The inbox: every authenticated body, kept until it is handled, and after."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal

from sqlalchemy import Index, LargeBinary, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from meetergo.events import BookingEvent, Event
from models.database import Model, insert_into
from models.todo import Todo

Source = Literal["webhook", "reconcile"]


class Delivery(Todo, Model):
    """One authenticated POST that we accepted. The same bytes are the same delivery.

    `event` and `booking_id` are known once it was read; `note` says why nothing came of a delivery that is done.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_status_due_at", "status", "due_at"),
        Index("ix_deliveries_booking_id", "booking_id"),
        Index("ix_deliveries_received_at", "received_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(String(64))
    source: Mapped[Source] = mapped_column(String(16))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    event: Mapped[str | None] = mapped_column(String(100))
    booking_id: Mapped[str | None] = mapped_column(String(255))
    note: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime]

    @staticmethod
    def identify(body: bytes) -> str:
        """The id of a delivery: SHA-256 of its bytes, in hex."""
        return sha256(body).hexdigest()

    @classmethod
    def accept(cls, session: Session, account: str, body: bytes, now: datetime, source: Source = "webhook") -> str:
        """Keeps a body; a repeat changes nothing.

        Returns:
            The delivery's id.
        """
        delivery_id = cls.identify(body)
        row = dict(id=delivery_id, account=account, source=source, body=body, received_at=now, due_at=now)
        session.execute(
            insert_into(session, cls.__table__)
            .values(status="pending", attempts=0, **row)
            .on_conflict_do_nothing(index_elements=["id"])
        )
        return delivery_id

    @classmethod
    def take_due(cls, session: Session, now: datetime, most: int) -> Sequence["Delivery"]:
        """Deliveries that anybody may handle now, locked; those that another worker holds are passed over."""
        query = select(cls).where(cls.is_due(now)).order_by(cls.due_at).limit(most)
        return session.scalars(query.with_for_update(skip_locked=True)).all()

    def tell_of(self, event: Event) -> None:
        """Keeps what operators search by."""
        self.event = event.type
        self.booking_id = event.booking_id if isinstance(event, BookingEvent) else None
