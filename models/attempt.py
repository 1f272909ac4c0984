"""Failed attempts: each time that a row could not be done, and why. What worked at once leaves none."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Model

AttemptOutcome = Literal["pending", "dead"]


class FailedAttempt(Model):
    """One try of one delivery or notification. It goes when its row goes.

    `number` counts from 1 again after a replay. `error` may quote the row's own data, so it stays in the database.
    `outcome` is what the row became: `pending` if it was to be tried again.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        Index("ix_failed_attempts_delivery_id", "delivery_id"),
        Index("ix_failed_attempts_notification_id", "notification_id"),
        Index("ix_failed_attempts_at", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[str | None] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"))
    notification_id: Mapped[int | None] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    number: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    outcome: Mapped[AttemptOutcome] = mapped_column(String(7))
    at: Mapped[datetime]

    @classmethod
    def record(cls, session: Session, row: Delivery | Notification, now: datetime) -> None:
        """Keeps what `row.fail` just decided."""
        reference = {"delivery_id": row.id} if isinstance(row, Delivery) else {"notification_id": row.id}
        session.add(cls(**reference, number=row.attempts, error=row.last_error or "", outcome=row.status, at=now))
