"""Look up hosts by the platform's own id."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import select

from models.platform_user import PlatformUser, find_zone
from operations.accounts import check_account
from operations.errors import OperationError
from operations.lookup import find_platform_user
from runtime.database import Database


def find(database: Database, external_id: str, account: str | None = None) -> PlatformUser:
    """Return the host with this external id, of any account or of one.

    Raises:
        OperationError: there is none, or it belongs to another account.
    """
    with database.read_only() as session:
        row = find_platform_user(session, external_id)
    if account not in (None, row.account):
        raise OperationError(f"'{external_id}' belongs to the account {row.account}: add --account {row.account}")
    return row


def all_hosts(database: Database, account: str | None) -> Sequence[PlatformUser]:
    """Return all hosts, or those of one account, oldest first.

    Raises:
        OperationError: there is no such account.
    """
    query = select(PlatformUser).order_by(PlatformUser.id)
    with database.read_only() as session:
        if account:
            query = query.where(PlatformUser.account == check_account(session, account))
        return session.scalars(query).all()


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
    found = find_zone(row.timezone)
    if found is None:
        raise OperationError(
            f"the timezone of '{row.external_id}' does not exist: it should be one such as Europe/Berlin"
        )
    return found


def meeting_type_id(row: PlatformUser, requested: str | None) -> str:
    """Return the requested meeting type, else the host's first.

    Raises:
        OperationError: none was requested and none is known.
    """
    found = requested or row.meetergo_meeting_type_id
    if not found:
        raise OperationError("no meeting type of this host is known: name one with --meeting-type")
    return found
