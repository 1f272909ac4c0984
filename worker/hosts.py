"""Hosts: whose appointments a reconciliation compares, in the order of who waits longest."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor


@dataclass(frozen=True)
class Host:
    """Somebody whose appointments we may read.

    Attributes:
        user_id: meetergo's.
        external_id: the platform's; None for the user whom we act as, if the platform does not know them.
        created_until: all bookings made until then were seen.
        swept_at: when all were last compared.
    """

    user_id: str
    external_id: str | None = None
    created_until: datetime | None = None
    swept_at: datetime | None = None


def hosts_to_visit(session: Session, only: str | None, acting: str | None) -> list[Host]:
    """Every mapped host, longest not swept first, and who acts.

    Args:
        session: reads.
        only: the external id of the one host who is wanted; None for all.
        acting: whose appointments we see although nobody may have mapped them.
    """
    columns = (PlatformUser.external_id, ReconcileCursor.created_until, ReconcileCursor.swept_at)
    query = (
        select(PlatformUser.meetergo_user_id, *columns)
        .outerjoin(ReconcileCursor, ReconcileCursor.meetergo_user_id == PlatformUser.meetergo_user_id)
        .where(PlatformUser.meetergo_user_id.is_not(None))
        .order_by(ReconcileCursor.swept_at.is_not(None), ReconcileCursor.swept_at, PlatformUser.id)
    )
    if only is not None:
        query = query.where(PlatformUser.external_id == only)
    hosts = [Host(str(row[0]), row[1], row[2], row[3]) for row in session.execute(query)]
    if acting and only is None and acting not in {host.user_id for host in hosts}:
        cursor = session.get(ReconcileCursor, acting) or ReconcileCursor()
        hosts.append(Host(acting, None, cursor.created_until, cursor.swept_at))
    return hosts


def unmapped(session: Session) -> int:
    """How many platform users wait for a meetergo id, so that nobody can look for their bookings."""
    return session.scalar(select(func.count()).where(PlatformUser.meetergo_user_id.is_(None))) or 0
