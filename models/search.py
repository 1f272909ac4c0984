"""Search: filters for bookings, deliveries and notifications."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from models.booking import Booking, BookingStatus
from models.delivery import Delivery
from models.guest_search import has_guest, lower_contains
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import Status


@dataclass(frozen=True)
class BookingSearch:
    """Filters for bookings; None means no filter.

    Attributes:
        status: confirmed or cancelled.
        platform_user: `external_id` of the host who owns it.
        host: the same, or the host's e-mail address, or a part of the name.
        guest: a part of a guest's name, e-mail address or number.
        since: starts at or after this, UTC.
        until: starts before this, UTC.
    """

    status: BookingStatus | None = None
    platform_user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    host: str | None = None
    guest: str | None = None

    def bookings(self) -> Select[Booking]:
        """Select the matching bookings, latest start first, those without a start last."""
        query = select(Booking).order_by(Booking.starts_at.desc().nulls_last(), Booking.id.desc())
        if self.status:
            query = query.where(Booking.status == self.status)
        if self.platform_user:
            owner = select(PlatformUser.id).where(PlatformUser.external_id == self.platform_user)
            query = query.where(Booking.platform_user_id.in_(owner))
        if self.host:
            is_host = or_(
                PlatformUser.external_id == self.host,
                func.lower(PlatformUser.email) == self.host.lower(),
                lower_contains(PlatformUser.name, self.host),
            )
            query = query.where(Booking.platform_user_id.in_(select(PlatformUser.id).where(is_host)))
        if self.guest:
            query = query.where(has_guest(self.guest))
        if self.since:
            query = query.where(Booking.starts_at >= self.since)
        return query.where(Booking.starts_at < self.until) if self.until else query


@dataclass(frozen=True)
class RowSearch:
    """Filters for deliveries and notifications; None means no filter.

    Attributes:
        status: pending, done or dead.
        event: the provider's name of the event, such as `booking_created`; for notifications, their kind.
        booking_id: the provider's booking id.
        platform_user: `external_id` of the host who owns the booking.
        since: received or created at or after this, UTC.
        until: received or created before this, UTC.
        error: text that the last error contains, in any case.
        error_is: the whole last error.
        booking_ids: the provider's ids of bookings, such as those of one guest.
        ids: ids of the rows themselves.
    """

    status: Status | None = None
    event: str | None = None
    booking_id: str | None = None
    platform_user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    error: str | None = None
    error_is: str | None = None
    booking_ids: tuple[str, ...] | None = None
    ids: tuple[Any, ...] | None = None

    def deliveries(self) -> Select[tuple[Delivery]]:
        """Select the matching deliveries, newest first."""
        query = self._filter(select(Delivery), Delivery, Delivery.event, Delivery.received_at)
        return query.order_by(Delivery.received_at.desc(), Delivery.id.desc())

    def notifications(self) -> Select[tuple[Notification]]:
        """Select the matching notifications, newest first."""
        query = self._filter(select(Notification), Notification, Notification.kind, Notification.created_at)
        return query.order_by(Notification.id.desc())

    def _filter(self, query: Select[Any], model: Any, event: Any, received_at: Any) -> Select[Any]:
        conditions: dict[str, Callable[[], ColumnElement[bool]]] = {
            "status": lambda: model.has_status(self.status),
            "event": lambda: event == self.event,
            "booking_id": lambda: model.booking_id == self.booking_id,
            "platform_user": lambda: model.booking_id.in_(_bookings_of(self.platform_user)),
            "since": lambda: received_at >= self.since,
            "until": lambda: received_at < self.until,
            "error_is": lambda: model.last_error == self.error_is,
            "booking_ids": lambda: model.booking_id.in_(self.booking_ids or ()),
            "ids": lambda: model.id.in_(self.ids or ()),
            "error": lambda: func.lower(model.last_error).contains(str(self.error).lower(), autoescape=True),
        }
        return query.where(*(condition() for name, condition in conditions.items() if getattr(self, name) is not None))


def _bookings_of(external_id: str | None) -> Select[Any]:
    return (
        select(Booking.id)
        .join(PlatformUser, PlatformUser.id == Booking.platform_user_id)
        .where(PlatformUser.external_id == external_id)
    )
