"""Interventions: the audit trail of operators' actions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.account import DEFAULT, account_of
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.database import Model

InterventionKind = Literal[
    "replayed",
    "ignored",
    "sent_again",
    "started",
    "cancelled",
    "revealed",
    "pruned",
    "erased",
    "refreshed",
    "compared",
    "mapped",
    "shared",
    "unshared",
    "forgotten",
    "granted",
    "revoked",
    "configured",
]

BY_RQ = "rq requeue"
"""Recorded as the operator when a failed job was requeued with RQ's own tools, which give no name."""


class Intervention(Model):
    """One action of an operator. It has no foreign key to its row, because it outlives the row.

    `replayed`: the row was reset to pending. `ignored`: a dead delivery was closed. `sent_again`: this notification is
    a deliberate copy of one that was sent before. `started` and `cancelled`: a run over many rows. `revealed`: the
    personal data of this delivery or booking was viewed. `pruned` and `erased`: rows or a guest were deleted.
    `refreshed`: a booking was corrected to what meetergo says. `compared`: bookings were compared with meetergo's, and
    nothing was changed. `mapped`: a host was added or changed; the reason names it. `shared` and `unshared`: the link
    of a host's calendar was shown or revoked; the reason names the host. `forgotten`: the booking's owner was
    unmapped from its meetergo user. `granted` and `revoked`: a token of the read API was created or revoked; the
    reason names it. `configured`: an account was added or changed; the reason names it.
    """

    __tablename__ = "interventions"
    __table_args__ = (
        Index("ix_interventions_delivery_id", "delivery_id"),
        Index("ix_interventions_notification_id", "notification_id"),
        Index("ix_interventions_booking_id", "booking_id"),
        Index("ix_interventions_at", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[InterventionKind] = mapped_column(String(10))
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    delivery_id: Mapped[str | None] = mapped_column(String(64))
    notification_id: Mapped[int | None]
    booking_id: Mapped[str | None] = mapped_column(String(255))
    by: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]

    @classmethod
    def record(
        cls,
        session: Session,
        kind: InterventionKind,
        row: Delivery | Notification,
        now: datetime,
        *,
        by: str,
        reason: str = "",
    ) -> None:
        """Record an action on a row, in the transaction of that action."""
        reference = {"delivery_id": row.id} if isinstance(row, Delivery) else {"notification_id": row.id}
        belongs = dict(account=row.account, booking_id=row.booking_id)
        session.add(cls(kind=kind, **reference, **belongs, by=by[:255], reason=reason, at=now))

    @classmethod
    def record_forgotten(
        cls,
        session: Session,
        user: PlatformUser,
        booking_ids: Sequence[str],
        now: datetime,
        *,
        by: str,
        reason: str,
    ) -> None:
        """Record that a host was unmapped: once per booking, or once if there are none."""
        reason = f"host {user.external_id}{f', {reason}' if reason else ''}"
        for booking_id in booking_ids or (None,):
            row = dict(account=user.account, booking_id=booking_id, by=by[:255], reason=reason, at=now)
            session.add(cls(kind="forgotten", **row))

    @classmethod
    def record_act(
        cls,
        session: Session,
        kind: InterventionKind,
        now: datetime,
        *,
        by: str,
        reason: str,
        account: str,
    ) -> None:
        """Record an action on no single row; one that concerns no account alone counts as one on `default`."""
        session.add(cls(kind=kind, account=account, by=by[:255], reason=reason, at=now))

    @classmethod
    def record_on_booking(
        cls, session: Session, kind: InterventionKind, booking_id: str, now: datetime, *, by: str, reason: str
    ) -> None:
        """Record an action on a booking, which need not exist yet: its key names its account."""
        account = account_of(booking_id)
        session.add(cls(kind=kind, account=account, booking_id=booking_id, by=by[:255], reason=reason, at=now))
