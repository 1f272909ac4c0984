"""Detect webhooks that no longer arrive, and bookings that wait for a host, from the tables alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.account import is_of
from models.booking import Booking
from models.delivery import Delivery
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from worker.maintenance.observation import ABSENT, AccountObservations, Observation, Observations
from worker.maintenance.silence import HOUR, WEEK, WeeklyPattern
from worker.services import Services

WEEKS = 4
"""Number of weeks to learn from; not more, since deliveries are pruned after KEEP_DONE_DAYS."""
MIN_WEEKS = 2
MAX_AGE = timedelta(days=365)
"""How far back to look for the first webhook, which shows how long the history is."""
MIN_BUSY_HOURS = 20
"""Minimum number of hours with a webhook: with fewer there is no pattern to learn."""
MIN_SILENCE = timedelta(hours=2)
LOOKBACK = timedelta(days=7)
"""Maximum age of a reconcile run that counts."""
MAPPING_TIME = timedelta(hours=1)
"""How long a platform may take to add the user of a new host."""
MAX_BOOKINGS, MAX_IDS = 1_000, 3


@dataclass
class ArrivalWatch:
    """Observes the arrivals of an account. Keeps the pattern that it has learnt until another webhook arrives."""

    account: str
    _last: datetime | None = None
    _pattern: WeeklyPattern | None = None

    def observe(self, services: Services, now: datetime) -> Observations:
        """Return what can be observed now.

        Raises:
            SQLAlchemyError: the database is down.
        """
        with services.database.read_only() as session:
            last = _last_webhook(session, now, self.account)
            found: Observations = {"hosts_unmapped": _observe_hosts(session, now, self.account)}
            if last:  # else none ever arrived, or all were pruned: what was observed before still holds
                found["webhooks_missed"] = _observe_missed(session, last, now, self.account)
                silence = self._observe_silence(session, last, now)
                found |= {"webhooks_silent": silence} if silence else {}
        return found

    def _observe_silence(self, session: Session, last: datetime, now: datetime) -> Observation | None:
        if now - last < MIN_SILENCE:
            return ABSENT
        if self._last != last:
            self._last, self._pattern = last, learn_pattern(session, last, self.account)
        if self._pattern is None:
            return None
        confirmed = _confirms_silence(session, last, now, self.account)
        if not self._pattern.is_unusual(last, now, confirmed=confirmed):
            return ABSENT
        return Observation(True, {"since": last.isoformat(timespec="seconds"), "confirmed": confirmed})


@cache
def arrivals(account: str) -> ArrivalWatch:
    """Return this process's watch of an account."""
    return ArrivalWatch(account)


def observe_accounts(services: Services, now: datetime, observed: AccountObservations) -> None:
    """Observe the arrivals of the active accounts other than `default`.

    Raises:
        SQLAlchemyError: the database is down.
    """
    for account in services.accounts.all():
        if account.is_active and not account.is_default:
            observed.setdefault(account.name, {}).update(arrivals(account.name).observe(services, now))


def learn_pattern(session: Session, last: datetime, account: str) -> WeeklyPattern | None:
    """Learn from the weeks before the last webhook; None if there are too few.

    It costs an index probe for each hour with a webhook, at most 672, however many webhooks arrived.
    """
    since = last - WEEKS * WEEK
    first = _first_webhook(session, last - MAX_AGE, last, account)
    weeks = WEEKS if first and first <= since else (last - (first or last)) // WEEK
    if weeks < MIN_WEEKS:
        return None
    busy, at = list[datetime](), last - weeks * WEEK
    while seen := _first_webhook(session, at, last, account):
        busy.append(seen.replace(minute=0, second=0, microsecond=0))
        at = busy[-1] + HOUR
    return WeeklyPattern.learn(busy, weeks) if len(busy) >= MIN_BUSY_HOURS else None


def _first_webhook(session: Session, since: datetime, until: datetime, account: str) -> datetime | None:
    at = Delivery.received_at
    arrived = select(at).where(*_webhooks_of(account), at >= since, at <= until)
    return session.scalar(arrived.order_by(at).limit(1))


def _last_webhook(session: Session, now: datetime, account: str) -> datetime | None:
    at = Delivery.received_at
    return session.scalar(select(at).where(*_webhooks_of(account), at <= now).order_by(at.desc()).limit(1))


def _webhooks_of(account: str) -> Sequence[ColumnElement[bool]]:
    return [Delivery.source == "webhook", *is_of(Delivery, account)]


def _confirms_silence(session: Session, last: datetime, now: datetime, account: str) -> bool:
    """Whether reconcile runs, and has since found nothing that a webhook should have reported."""
    unreported = Reconciliation.undelivered + Reconciliation.cancelled + Reconciliation.revived
    since = and_(Reconciliation.account == account, Reconciliation.started_at > max(last, now - LOOKBACK))
    is_good = (Reconciliation.hosts > 0, Reconciliation.error.is_(None), Reconciliation.ended_at > now - HOUR)
    is_running = select(Reconciliation.id).where(since, *is_good).limit(1)
    return session.scalar(is_running) is not None and not session.scalar(select(func.sum(unreported)).where(since))


def _observe_missed(session: Session, last: datetime, now: datetime, account: str) -> Observation:
    """Observe bookings that reconcile had to find. It is over once a webhook has arrived and an hour has passed."""
    at, number = Reconciliation.started_at, Reconciliation.undelivered
    is_own = Reconciliation.account == account
    found = select(at, number).where(is_own, at > now - LOOKBACK, number > 0).order_by(at.desc()).limit(1)
    run = session.execute(found).one_or_none()
    if run is None or (now - run.started_at >= HOUR and last > run.started_at):
        return ABSENT
    return Observation(True, {"number": run.undelivered})


def _observe_hosts(session: Session, now: datetime, account: str) -> Observation:
    """Observe hosts whom no platform user is mapped to, and whose upcoming bookings have waited for a while."""
    waiting = select(Booking.host_ids).where(
        *is_of(Booking, account),
        Booking.platform_user_id.is_(None),
        Booking.starts_at > now,
        Booking.status == "confirmed",
        Booking.created_at < now - MAPPING_TIME,
    )
    lists = session.scalars(waiting.order_by(Booking.starts_at).limit(MAX_BOOKINGS)).all()
    named = Counter(str(host_id) for host_ids in lists for host_id in set(host_ids))
    mapped = select(PlatformUser.meetergo_user_id).where(
        PlatformUser.account == account, PlatformUser.meetergo_user_id.in_(list(named))
    )
    for known in session.scalars(mapped):
        del named[str(known)]
    if not named:
        return ABSENT
    bookings = sum(any(str(host_id) in named for host_id in host_ids) for host_ids in lists)
    ids = sorted(host_id for host_id, _ in named.most_common(MAX_IDS))
    return Observation(True, {"hosts": len(named), "bookings": bookings, "ids": ids})
