"""Look up hosts by the platform's own id."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import select

from models.platform_user import PlatformUser
from operations.errors import OperationError
from runtime.database import Database


def find(database: Database, external_id: str) -> PlatformUser:
    """Return the host with this external id.

    Raises:
        OperationError: there is none.
    """
    with database.read_only() as session:
        row = PlatformUser.by_external_id(session, external_id)
    if row is None:
        raise OperationError(f"there is no platform user '{external_id}': `users list` shows all")
    return row


def all_hosts(database: Database) -> Sequence[PlatformUser]:
    """Return all hosts, oldest first."""
    with database.read_only() as session:
        return session.scalars(select(PlatformUser).order_by(PlatformUser.id)).all()


def meetergo_id(row: PlatformUser) -> str:
    """Return the host's meetergo id.

    Raises:
        OperationError: the host is not in meetergo yet.
    """
    if not row.meetergo_user_id:
        raise OperationError(f"'{row.external_id}' is not a user of meetergo yet: `users onboard` or `users sync`")
    return row.meetergo_user_id


def zone(row: PlatformUser) -> ZoneInfo:
    """Return the host's time zone.

    Raises:
        OperationError: the platform stored no valid time zone.
    """
    try:
        return ZoneInfo(row.timezone)
    except (ValueError, OSError, KeyError):
        raise OperationError(f"the timezone of '{row.external_id}' is none, such as Europe/Berlin") from None


def meeting_type_id(row: PlatformUser, requested: str | None) -> str:
    """Return the requested meeting type, else the host's first.

    Raises:
        OperationError: none was requested and none is known.
    """
    found = requested or row.meetergo_meeting_type_id
    if not found:
        raise OperationError("no meeting type of this host is known: name one with --meeting-type")
    return found
