"""The hosts to reconcile, least recently visited first."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ComparedHost:
    """A host whose appointments can be read.

    Attributes:
        user_id: the host's meetergo id.
        external_id: the platform's id; None for the acting user, if the platform does not know them.
        created_until: all bookings created until then were seen.
        swept_at: when all bookings were last compared.
        tried_at: when a comparison was last started.
    """

    user_id: str
    external_id: str | None = None
    created_until: datetime | None = None
    swept_at: datetime | None = None
    tried_at: datetime | None = None


def mapped_hosts(session: Session, only: str | None, account: str) -> list[ComparedHost]:
    """Return every mapped host of an account, least recently visited first.

    Args:
        session: session to read with.
        only: external id of a single host; None for all.
        account: the account.
    """
    prefix = ReconcileCursor.key_of(account, "")
    cursor = (ReconcileCursor.created_until, ReconcileCursor.swept_at, ReconcileCursor.tried_at)
    host_key = literal(prefix) + PlatformUser.meetergo_user_id if prefix else PlatformUser.meetergo_user_id
    query = (
        select(PlatformUser.meetergo_user_id, PlatformUser.external_id, *cursor)
        .outerjoin(ReconcileCursor, ReconcileCursor.meetergo_user_id == host_key)
        .where(PlatformUser.meetergo_user_id.is_not(None), PlatformUser.account == account)
        .order_by(PlatformUser.id)
    )
    if only is not None:
        query = query.where(PlatformUser.external_id == only)
    return sorted((ComparedHost(str(row[0]), *row[1:]) for row in session.execute(query)), key=_tried_at)


def with_acting_user(
    session: Session, hosts: list[ComparedHost], acting: str | None, account: str
) -> list[ComparedHost]:
    """Insert the acting user in order: their appointments are readable even if they are not mapped."""
    if acting is None or acting in {host.user_id for host in hosts}:
        return hosts
    cursor = ReconcileCursor.of_host(session, account, acting) or ReconcileCursor()
    return sorted(
        [*hosts, ComparedHost(acting, None, cursor.created_until, cursor.swept_at, cursor.tried_at)], key=_tried_at
    )


def _tried_at(host: ComparedHost) -> datetime:
    return host.tried_at or NEVER


def count_unmapped(session: Session, account: str) -> int:
    """Count platform users of an account without a meetergo id, whose bookings cannot be compared."""
    is_unmapped = (PlatformUser.meetergo_user_id.is_(None), PlatformUser.account == account)
    return session.scalar(select(func.count()).where(*is_unmapped)) or 0
