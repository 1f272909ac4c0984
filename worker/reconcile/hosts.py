"""Hosts: whose appointments a reconciliation compares, in the order of who waits longest."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ComparedHost:
    """Somebody whose appointments we may read.

    Attributes:
        user_id: meetergo's.
        external_id: the platform's; None for the user whom we act as, if the platform does not know them.
        created_until: all bookings made until then were seen.
        swept_at: when all were last compared.
        tried_at: when that was last begun.
    """

    user_id: str
    external_id: str | None = None
    created_until: datetime | None = None
    swept_at: datetime | None = None
    tried_at: datetime | None = None


def mapped_hosts(session: Session, only: str | None) -> list[ComparedHost]:
    """Every mapped host, longest not visited first.

    Args:
        session: reads.
        only: the external id of the one host who is wanted; None for all.
    """
    cursor = (ReconcileCursor.created_until, ReconcileCursor.swept_at, ReconcileCursor.tried_at)
    query = (
        select(PlatformUser.meetergo_user_id, PlatformUser.external_id, *cursor)
        .outerjoin(ReconcileCursor, ReconcileCursor.meetergo_user_id == PlatformUser.meetergo_user_id)
        .where(PlatformUser.meetergo_user_id.is_not(None))
        .order_by(PlatformUser.id)
    )
    if only is not None:
        query = query.where(PlatformUser.external_id == only)
    return sorted((ComparedHost(str(row[0]), *row[1:]) for row in session.execute(query)), key=_tried_at)


def with_acting_user(session: Session, hosts: list[ComparedHost], acting: str | None) -> list[ComparedHost]:
    """The same, and in its place whose appointments we see although nobody may have mapped them."""
    if acting is None or acting in {host.user_id for host in hosts}:
        return hosts
    cursor = session.get(ReconcileCursor, acting) or ReconcileCursor()
    return sorted(
        [*hosts, ComparedHost(acting, None, cursor.created_until, cursor.swept_at, cursor.tried_at)], key=_tried_at
    )


def _tried_at(host: ComparedHost) -> datetime:
    return host.tried_at or NEVER


def count_unmapped(session: Session) -> int:
    """How many platform users wait for a meetergo id, so that nobody can look for their bookings."""
    return session.scalar(select(func.count()).where(PlatformUser.meetergo_user_id.is_(None))) or 0
