"""Remove a platform user's mapping to meetergo, for example because meetergo no longer has that user."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.booking import Booking
from models.employee import Employee
from models.intervention import Intervention
from models.platform_user import PlatformUser
from operations.lookup import find_platform_user
from runtime.database import Database


@dataclass(frozen=True)
class UserMapping:
    """A platform user's mapping, and the bookings that it owns.

    Attributes:
        external_id: the platform's id of the host.
        meetergo_user_id: meetergo's id of the host; None if it is not mapped.
        bookings: number of bookings that it owns.
        upcoming: number of those that are confirmed and not over.
    """

    external_id: str
    meetergo_user_id: str | None
    bookings: int
    upcoming: int


def find_mapping(database: Database, external_id: str, now: datetime) -> UserMapping:
    """Return the mapping that `forget` would remove.

    Raises:
        OperationError: there is no such platform user.
    """
    with database.read_only() as session:
        return _mapping(session, find_platform_user(session, external_id), now)


def forget(database: Database, external_id: str, now: datetime, *, by: str, reason: str = "") -> UserMapping:
    """Remove a platform user's meetergo ids, and record who did it. The row and its bookings stay.

    The remembered `new_employee` event is forgotten too, or else the sweep would map the user again.

    Args:
        database: the database.
        external_id: the platform's id of the host.
        now: the time, UTC.
        by: name of the operator.
        reason: why.

    Returns:
        The mapping as it was.

    Raises:
        OperationError: there is no such platform user.
    """
    with database.transaction() as session:
        user = find_platform_user(session, external_id, locked=True)
        mapping = _mapping(session, user, now)
        Employee.forget(session, user.meetergo_user_id or "", user.account)
        user.meetergo_user_id = user.meetergo_meeting_type_id = user.booking_url = user.linked_as = None
        upcoming = session.scalars(select(Booking.id).where(_is_owned_by(user), Booking.is_upcoming(now)))
        Intervention.record_forgotten(session, user, upcoming.all(), now, by=by, reason=reason)
    return mapping


def _mapping(session: Session, user: PlatformUser, now: datetime) -> UserMapping:
    owned = select(func.count()).select_from(Booking).where(_is_owned_by(user))
    return UserMapping(
        user.external_id,
        user.meetergo_user_id,
        session.scalar(owned) or 0,
        session.scalar(owned.where(Booking.is_upcoming(now))) or 0,
    )


def _is_owned_by(user: PlatformUser) -> ColumnElement[bool]:
    return Booking.platform_user_id == user.id
