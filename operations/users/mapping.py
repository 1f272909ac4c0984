"""The mapping of the platform's hosts to meetergo's users: what is missing, and corrections by an operator."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.booking import Booking
from models.intervention import Intervention
from models.platform_user import PlatformUser, find_zone
from operations.accounts import check_account
from operations.errors import OperationError
from runtime.database import Database
from worker.channels.mail.headers import mailbox

MAX_WAITING = 1_000
"""Maximum number of bookings without an owner that are read, latest first."""
MAX_HOSTS = 5_000
"""Maximum number of meetergo users named by these bookings that are looked up."""
MAX_LENGTHS = {
    "external_id": 255,
    "meetergo_user_id": 255,
    "meetergo_meeting_type_id": 255,
    "name": 255,
    "email": 320,
    "timezone": 64,
}
LANGUAGES = ("en", "de")


@dataclass
class UnmappedHost:
    """A meetergo user without a mapped platform user.

    Attributes:
        meetergo_user_id: meetergo's id of the host.
        account: the account that the host belongs to.
        bookings: number of bookings that wait for the mapping, among the latest MAX_WAITING without an owner.
        not_started: number of those that are confirmed and have not started.
        next_start: when the next of them starts, UTC; None if all have started.
        example: the id of one of them.
    """

    meetergo_user_id: str
    account: str
    bookings: int = 0
    not_started: int = 0
    next_start: datetime | None = None
    example: str = ""


@dataclass(frozen=True)
class UnmappedHosts:
    """The work list.

    Attributes:
        hosts: the hosts, those with most bookings that have not started first.
        without_host: number of bookings that name no host at all.
        is_complete: whether neither MAX_WAITING nor MAX_HOSTS cut the list off.
    """

    hosts: list[UnmappedHost]
    without_host: int
    is_complete: bool


@dataclass(frozen=True)
class HostValues:
    """The values of a host as an operator types them; None keeps the stored value, "" clears it.

    Attributes:
        external_id: the platform's id.
        meetergo_user_id: meetergo's id.
        meetergo_meeting_type_id: meetergo's id of the host's first meeting type.
        name: the full name.
        email: the e-mail address.
        timezone: such as Europe/Berlin.
        language: `en` or `de`.
    """

    external_id: str
    meetergo_user_id: str | None = None
    meetergo_meeting_type_id: str | None = None
    name: str | None = None
    email: str | None = field(default=None, repr=False)
    timezone: str | None = None
    language: str | None = None

    def checked(self) -> dict[str, Any]:
        """Validate the values, and return the columns to set.

        Raises:
            OperationError: a value cannot be used.
        """
        given = {name: value.strip() for name, value in vars(self).items() if value is not None}
        for name, value in given.items():
            if len(value) > MAX_LENGTHS.get(name, 16) or not value.isprintable():
                raise OperationError(f"{name} is too long, or holds a control character")
        if not given["external_id"]:
            raise OperationError("external_id is missing: it is the platform's own id of the host")
        if given.get("email") and not mailbox(given["email"]):
            raise OperationError("email is not an e-mail address")
        if given.get("language", "en") not in LANGUAGES:
            raise OperationError("language is en or de")
        if given.get("timezone") and not find_zone(given["timezone"]):
            raise OperationError("timezone does not exist: it should be one such as Europe/Berlin")
        for name in ("timezone", "language"):
            if not given.get(name):
                given.pop(name, None)  # a host always has one
        return {name: value or None for name, value in given.items()}


def unmapped_hosts(session: Session, now: datetime) -> UnmappedHosts:
    """Return the meetergo users whose bookings wait because no platform user is mapped to them."""
    columns = (Booking.id, Booking.account, Booking.host_ids, Booking.status, Booking.starts_at)
    unowned = select(*columns).where(Booking.platform_user_id.is_(None), Booking.starts_at.is_not(None))
    latest = (Booking.platform_user_id.desc(), Booking.starts_at.desc(), Booking.id.desc())  # the order of the index
    rows = session.execute(unowned.order_by(*latest).limit(MAX_WAITING)).all()
    found: dict[tuple[str, str], UnmappedHost] = {}
    for row in rows:
        for host_id in {str(each) for each in row.host_ids}:
            host = found.setdefault((row.account, host_id), UnmappedHost(host_id, row.account))
            host.bookings, host.example = host.bookings + 1, host.example or row.id
            if row.status == "confirmed" and row.starts_at >= now:
                host.not_started += 1
                host.next_start, host.example = row.starts_at, row.id
    checked = list(found)[:MAX_HOSTS]
    ids = {host_id for _, host_id in checked}
    mapped = select(PlatformUser.account, PlatformUser.meetergo_user_id).where(PlatformUser.meetergo_user_id.in_(ids))
    known = {(row.account, row.meetergo_user_id) for row in session.execute(mapped)}
    hosts = sorted(
        (found[each] for each in checked if each not in known),
        key=lambda host: (-host.not_started, -host.bookings, host.meetergo_user_id),
    )
    is_complete = len(rows) < MAX_WAITING and len(found) <= MAX_HOSTS
    return UnmappedHosts(hosts, sum(not row.host_ids for row in rows), is_complete)


def search_hosts(term: str | None, *, only_unmapped: bool) -> Select[Any]:
    """Return a query for hosts whose platform id, meetergo id or e-mail address equals a term."""
    columns: tuple[Any, ...] = (
        PlatformUser.id,
        PlatformUser.account,
        PlatformUser.external_id,
        PlatformUser.name,
        PlatformUser.meetergo_user_id,
        PlatformUser.meetergo_meeting_type_id,
        PlatformUser.timezone,
        PlatformUser.language,
    )
    query = select(*columns)
    if only_unmapped:
        query = query.where(PlatformUser.meetergo_user_id.is_(None))
    if term:
        query = query.where(
            or_(
                PlatformUser.external_id == term,
                PlatformUser.meetergo_user_id == term,
                func.lower(PlatformUser.email) == term.lower(),
            )
        )
    return query


def save_host(
    database: Database,
    values: HostValues,
    now: datetime,
    *,
    account: str | None,
    by: str,
    reason: str,
) -> None:
    """Add a host, or change one, and record who did it. The next sweep assigns the waiting bookings to the host.

    Args:
        database: the database.
        values: the host's values.
        now: the time, UTC.
        account: the account of a new host; None for one that exists, and stays in its own.
        by: name of the operator.
        reason: why.

    Raises:
        OperationError: a value cannot be used, there is no such account, or a value belongs to another host.
    """
    columns = values.checked()
    try:
        with database.transaction() as session:
            account = _save(session, columns, account)
            what = f"host {columns['external_id']} -> {columns.get('meetergo_user_id') or 'no user of meetergo'}"
            Intervention.record_act(session, "mapped", now, by=by, reason=f"{what}: {reason}", account=account)
    except IntegrityError:
        raise OperationError("another host has this id of the platform or of meetergo") from None


def _save(session: Session, columns: dict[str, Any], new_in: str | None) -> str:
    """Add or change the host; return its account."""
    user = PlatformUser.by_external_id(session, columns["external_id"], locked=True)
    if user is None:
        if new_in is None:
            raise OperationError(f"there is no host '{columns['external_id']}' any more")
        user = PlatformUser(account=check_account(session, new_in))
    elif new_in is not None:
        raise OperationError(f"there is a host '{columns['external_id']}' already: change that one")
    host_id = columns.get("meetergo_user_id")
    other = host_id and PlatformUser.by_meetergo_user_id(session, host_id, user.account)
    if other and other.external_id != columns["external_id"]:
        raise OperationError(
            f"host '{other.external_id}' is mapped to this user of meetergo: forget that mapping first"
        )
    for name, value in columns.items():
        setattr(user, name, value)
    session.add(user)
    return user.account
