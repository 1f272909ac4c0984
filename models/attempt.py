"""Failed attempts: one row per failure of a delivery or notification, with its reason."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, Index, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Model

AttemptOutcome = Literal["pending", "dead"]


class FailedAttempt(Model):
    """One failed attempt of one delivery or notification. It is deleted with its row.

    `number` starts at 1 again after a replay. `error` may quote the row's data, so it must not be logged. `outcome` is
    the resulting status of the row: `pending` if it is retried.
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
        """Record the failure that `row.fail` has just set on the row."""
        reference = {"delivery_id": row.id} if isinstance(row, Delivery) else {"notification_id": row.id}
        session.add(cls(**reference, number=row.attempts, error=row.last_error or "", outcome=row.status, at=now))

    @classmethod
    def first_failed_at(cls, session: Session, notification: Notification, error: str) -> datetime | None:
        """Return when a notification first failed with this error since it was created or replayed."""
        of_row = cls.notification_id == notification.id
        since = select(func.max(cls.at)).where(of_row, cls.number == 1).scalar_subquery()
        return session.scalar(select(func.min(cls.at)).where(of_row, cls.error == error, cls.at >= since))
