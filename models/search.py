"""Search: filters for bookings, deliveries and notifications."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Select, Text, and_, false, func, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from models.account import is_of
from models.booking import Booking, BookingStatus
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import Status


@dataclass(frozen=True)
class BookingSearch:
    """Filters for bookings; None means no filter.

    Attributes:
        status: confirmed or cancelled.
        booking_id: the booking's key.
        booking_ids: keys of bookings, such as those of one guest.
        platform_user: `external_id` of the host who owns it.
        host: the same, or the host's e-mail address, or a part of the name; no index supports it.
        guest: a part of a guest's name, e-mail address or number; no index supports it.
        since: starts at or after this, UTC.
        until: starts before this, UTC.
        account: the account that they belong to.
    """

    status: BookingStatus | None = None
    booking_id: str | None = None
    booking_ids: tuple[str, ...] | None = None
    platform_user: str | None = None
    host: str | None = None
    guest: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    account: str | None = None

    def bookings(self, session: Session) -> Select[Booking]:
        """Select the matching bookings, latest start first, those without a start last."""
        query = select(Booking).where(*self.conditions(session))
        if self.status:
            query = query.where(Booking.status == self.status)
        if self.account:
            query = query.where(*is_of(Booking, self.account))
        return query.order_by(Booking.starts_at.desc().nulls_last(), Booking.id.desc())

    def conditions(self, session: Session) -> Sequence[ColumnElement[bool]]:
        """Return all conditions but those on status and account, whose indexes fit some lists only."""
        found: list[ColumnElement[bool]] = []
        if self.booking_id:
            found.append(Booking.id == self.booking_id)
        if self.booking_ids is not None:
            found.append(Booking.id.in_(self.booking_ids))
        if self.platform_user:
            owner = PlatformUser.by_external_id(session, self.platform_user)
            found.append(Booking.platform_user_id == owner.id if owner else false())
        if self.host:
            is_host = or_(
                PlatformUser.external_id == self.host,
                func.lower(PlatformUser.email) == self.host.lower(),
                _Lower(PlatformUser.name).contains(self.host.lower(), autoescape=True),
            )
            found.append(Booking.platform_user_id.in_(select(PlatformUser.id).where(is_host)))
        if self.guest:
            found.append(has_guest(self.guest))
        if self.since:
            found.append(Booking.starts_at >= self.since)
        if self.until:
            found.append(Booking.starts_at < self.until)
        return found


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
        account: the account that they belong to.
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
    account: str | None = None

    def deliveries(self) -> Select[tuple[Delivery]]:
        """Select the matching deliveries, newest first."""
        query = self._filter(select(Delivery), Delivery, Delivery.event, Delivery.received_at)
        return query.order_by(Delivery.received_at.desc(), Delivery.id.desc())

    def notifications(self) -> Select[tuple[Notification]]:
        """Select the matching notifications, newest first."""
        query = self._filter(select(Notification), Notification, Notification.kind, Notification.created_at)
        return query.order_by(Notification.id.desc())

    def interventions(self) -> Select[Any]:
        """Select the columns of what operators did to the booking and in the period; other filters do not apply."""
        indexed = RowSearch(booking_id=self.booking_id, since=self.since, until=self.until)
        return indexed._filter(select(*Intervention.__table__.c), Intervention, Intervention.kind, Intervention.at)

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
            "account": lambda: and_(*is_of(model, str(self.account))),
            "error": lambda: func.lower(model.last_error).contains(str(self.error).lower(), autoescape=True),
        }
        return query.where(*(condition() for name, condition in conditions.items() if getattr(self, name) is not None))


def _bookings_of(external_id: str | None) -> Select[Any]:
    return (
        select(Booking.id)
        .join(PlatformUser, PlatformUser.id == Booking.platform_user_id)
        .where(PlatformUser.external_id == external_id)
    )


NAMES = ", ".join(f"'{name}'" for name in ("email", "name", "fullname", "firstname", "lastname", "phone"))
"""Keys of an attendee that identify the person, in lower case."""


class _HasGuest(FunctionElement[bool]):
    """SQL condition on a column of attendees, and a pattern for LIKE in lower case with '/' as its escape character."""

    type = Boolean()
    inherit_cache = True


def has_guest(text: str) -> _HasGuest:
    """Return the condition for bookings with such a guest, in any case (SQLite: of ASCII letters)."""
    escaped = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return _HasGuest(Booking.attendees, literal(f"%{escaped}%"))


class _Lower(FunctionElement[str]):
    """A column in lower case, for LIKE: before version 18, PostgreSQL has none for nondeterministic collations."""

    type = Text()
    inherit_cache = True


@compiles(_Lower)
def _lower(element: _Lower, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_Lower, "postgresql")
def _lower_on_postgresql(element: _Lower, compiler: Any, **options: Any) -> str:
    return f'{_lower(element, compiler, **options)} COLLATE "C"'


@compiles(_HasGuest)
def _on_sqlite(element: _HasGuest, compiler: Any, **options: Any) -> str:
    attendees, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"json_tree(CASE WHEN json_valid({attendees}) THEN {attendees} ELSE '[]' END)"
    return (
        f"EXISTS (SELECT 1 FROM {source} AS detail"  # noqa: S608 - the values are bound parameters
        f" WHERE lower(detail.key) IN ({NAMES}) AND lower(detail.atom) LIKE {pattern} ESCAPE '/')"
    )


@compiles(_HasGuest, "postgresql")
def _on_postgresql(element: _HasGuest, compiler: Any, **options: Any) -> str:
    attendees, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"jsonb_path_query(CAST({attendees} AS JSONB), '$[*].keyvalue()', '{{}}', true)"
    return (
        f"EXISTS (SELECT 1 FROM {source} AS detail"  # noqa: S608 - as above
        f" WHERE lower(detail->>'key') IN ({NAMES}) AND lower(detail->>'value') LIKE {pattern} ESCAPE '/')"
    )
