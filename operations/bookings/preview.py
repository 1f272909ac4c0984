"""What a host reads about a booking: its newest notification as text, or what the next one would say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.booking import Booking, NotificationKind
from models.notification import Notification
from models.platform_user import PlatformUser
from worker.channels.base import Message
from worker.channels.text.message_text import MessageText

Mask = Callable[[Any], Any]
"""Takes a JSON value and returns what may be shown of it."""


@dataclass(frozen=True)
class HostMessage:
    """A message as its reader sees it.

    Attributes:
        notification_id: the notification; None if none was sent yet.
        subject: its subject.
        text: its plain text, in the reader's language.
    """

    notification_id: int | None
    subject: str
    text: str


def preview(session: Session, booking: Booking, mask: Mask) -> HostMessage:
    """Render the newest notification of a booking, or a message about its present state.

    Args:
        session: the session.
        booking: the booking.
        mask: masks personal data in the booking.
    """
    newest = select(Notification).where(Notification.booking_id == booking.id, Notification.kind != "summary")
    sent = session.scalars(newest.order_by(Notification.id.desc()).limit(1)).first()
    if sent:
        return render_message(sent, mask)
    host = session.get(PlatformUser, booking.platform_user_id) if booking.platform_user_id else None
    kind: NotificationKind = "cancelled" if booking.status == "cancelled" else "created"
    shown = {"id": booking.id, "revision": booking.revision, **booking.public_columns()}
    return _render(None, kind, {"booking": shown, "host": host and host.to_dict()}, booking.updated_at, mask)


def render_message(notification: Notification, mask: Mask) -> HostMessage:
    """Render a notification as its reader sees it."""
    return _render(notification.id, notification.kind, notification.payload, notification.created_at, mask)


def _render(
    notification_id: int | None, kind: NotificationKind, payload: dict[str, Any], made_at: Any, mask: Mask
) -> HostMessage:
    booking = mask(payload.get("booking") or {})
    booking["attendees"] = [each for each in booking.get("attendees") or [] if isinstance(each, dict)]
    message = Message(
        id="",
        kind=kind,
        booking=booking,
        before=mask(payload.get("before")),
        host=payload.get("host"),
        recipient="",
        made_at=made_at,
        handed_over=bool(payload.get("handed_over")),
        bookings=mask(payload.get("bookings") or []),
        total=payload.get("total") or 0,
    )
    text = MessageText.render(message, is_personal=payload.get("host") is not None)
    return HostMessage(notification_id, text.subject, text.text)
