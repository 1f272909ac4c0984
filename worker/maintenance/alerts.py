"""Alerts: an operator channel hears once that a person is needed, and once that it is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import structlog
from redis import Redis
from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from models.delivery import Delivery
from models.error_groups import Causes
from models.incident import EVENTS, NOTIFYING_LEASE, Incident, IncidentKind, IncidentState
from models.notification import Notification
from models.stats import RowStats, Stats, collect_stats
from runtime.database import Database
from runtime.errors import Failure, describe
from runtime.queue import QueueName
from worker.channels.apprise import AppriseChannel
from worker.incident_memory import IncidentMemory, alone
from worker.maintenance.bulletin import alert_text
from worker.outbox.planner import fingerprint
from worker.services import Services
from worker.settings import AlertSettings

Sign = Callable[[Stats, timedelta], bool | None]

RESTS_IN_REDIS_FOR = timedelta(seconds=30)
"""A webhook that a worker stores sooner is no incident."""
TELLING_TIME = NOTIFYING_LEASE / 2
"""After this no other channel is told in one check, while other schedules have to be kept from telling the same."""


def _waits_too_long(seen: Stats, patience: timedelta) -> bool | None:
    if seen.rows is None:
        return None
    return any(box.oldest_waiting and seen.at - box.oldest_waiting > patience for box in seen.rows.values())


def _is_in_redis_only(seen: Stats, patience: timedelta) -> bool | None:
    held = seen.redis_only
    return None if held is None else bool(held.oldest and seen.at - held.oldest > RESTS_IN_REDIS_FOR)


def _has_no_worker(seen: Stats, patience: timedelta) -> bool | None:
    return None if seen.jobs is None else any(not jobs.workers for jobs in seen.jobs.values())


def _of_rows(sign: Callable[[Stats, Mapping[QueueName, RowStats]], bool]) -> Sign:
    """What only a database that answers can show."""
    return lambda seen, patience: None if seen.rows is None else sign(seen, seen.rows)


CONDITIONS: dict[IncidentKind, Sign] = {
    "deliveries_dead": _of_rows(lambda seen, rows: rows["inbox"].dead > 0),
    "notifications_dead": _of_rows(lambda seen, rows: rows["outbox"].dead > 0),
    "failing_again": _of_rows(lambda seen, rows: seen.failing.rows > 0),
    "waiting_too_long": _waits_too_long,
    "no_worker": _has_no_worker,
    "clock_ahead": _of_rows(lambda seen, rows: seen.is_clock_wrong),
    "redis_only": _is_in_redis_only,
    "database_read_only": _of_rows(lambda seen, rows: seen.write_fault is not None),
    "database_down": lambda seen, patience: seen.is_database_down,
    "redis_down": lambda seen, patience: seen.jobs is None,
    "reconcile_stopped": _of_rows(lambda seen, rows: bool(seen.reconciled and seen.reconciled.error(seen.at))),
}
"""What a person has to look at: by what it shows. None where that cannot be known now."""

NEEDS_NO_DATABASE: Sequence[IncidentKind] = (
    "redis_only",
    "database_read_only",
    "database_down",
    "redis_down",
    "no_worker",
)
"""What is kept and told while the database cannot be written."""

LASTS: Mapping[IncidentKind, timedelta] = {
    "database_down": timedelta(seconds=10),
    "redis_down": timedelta(seconds=10),
    "no_worker": timedelta(minutes=1),
}
"""What must have been so for this long: a restart is no incident."""

log = structlog.get_logger()


class UnusableAlert(ValueError):
    """ALERT_CHANNELS names what cannot be used; the message quotes no secret."""


@dataclass(frozen=True)
class Alerts:
    """Watches, and tells.

    Attributes:
        channels: fingerprint -> operator channel.
        patience: how long a row may wait.
    """

    channels: Mapping[str, AppriseChannel]
    patience: timedelta
    _memory: IncidentMemory = field(default_factory=IncidentMemory)
    _since: dict[IncidentKind, datetime] = field(default_factory=dict)

    def check(self, office: Services, now: datetime) -> None:
        """Keeps what is wrong, and tells what was not told yet. Who cannot be told now is told the next time."""
        seen = collect_stats(office.database, office.bell, now)
        holds = {kind: self._holds(kind, seen) for kind in CONDITIONS}
        if seen.rows is not None and seen.write_fault is None:
            try:
                self._check_with_table(office, seen, holds)
            except SQLAlchemyError as error:
                log.error("database.away", task="alerts", error=type(error).__name__)
            else:
                return
        else:
            log.error("database.away", task="alerts")
        self._check_without_table(office, seen, holds)

    def _holds(self, kind: IncidentKind, seen: Stats) -> bool | None:
        """Whether it is so, and has been for long enough; None if nobody knows, or not yet."""
        shows = CONDITIONS[kind](seen, self.patience)
        if not shows:
            self._since.pop(kind, None)
            return shows if shows is None else False
        since = self._since.setdefault(kind, seen.at)
        return True if seen.at - since >= LASTS.get(kind, timedelta(0)) else None

    def _check_with_table(self, office: Services, seen: Stats, holds: Mapping[IncidentKind, bool | None]) -> None:
        now, redis = seen.at, office.bell.redis
        with office.database.transaction() as session:
            self._memory.move_into(session, redis)
        self._memory.forget(redis)
        for kind, is_so in {**holds, **dict.fromkeys(EVENTS, False)}.items():
            if is_so is not None:
                with office.database.transaction() as session:
                    Incident.note(session, kind, is_so, list(self.channels), now)
        self._tell_all(office, seen)
        with office.database.reading() as session:
            self._memory.remember(session.scalars(select(Incident).where(_is_remembered())))

    def _tell_all(self, office: Services, seen: Stats) -> None:
        reachable, database, started = list(self.channels), office.database, time.monotonic()
        while claimed := _claim(database, reachable, seen.at + timedelta(seconds=time.monotonic() - started)):
            incident, channel = claimed
            heard = self._tell(incident, channel, seen, _causes(database, incident))
            with database.transaction() as session:
                session.get_one(Incident, incident.id, with_for_update=True).settle(channel, heard)
            if not heard:
                reachable.remove(channel)

    def _check_without_table(self, office: Services, seen: Stats, holds: Mapping[IncidentKind, bool | None]) -> None:
        redis, memory = office.bell.redis, self._memory
        with alone(redis) as is_alone:
            if not is_alone:
                return
            memory.load(redis)
            for kind in NEEDS_NO_DATABASE:
                is_so = holds[kind]
                if is_so is not None:
                    memory.note(kind, is_so, list(self.channels), seen.at)
            memory.save(redis)
            self._tell_from_memory(redis, seen)

    def _tell_from_memory(self, redis: "Redis", seen: Stats) -> None:
        reachable, until = list(self.channels), time.monotonic() + TELLING_TIME.total_seconds()
        for incident, channel in list(self._memory.untold(reachable, seen.at)):
            if channel not in reachable:
                continue
            heard = self._tell(incident, channel, seen)
            incident.settle(channel, heard)
            self._memory.save(redis)
            if not heard:
                reachable.remove(channel)
            if time.monotonic() > until:
                break

    def _tell(
        self, incident: Incident, channel: str, seen: Stats, causes: Causes | None = None
    ) -> IncidentState | None:
        words, said = (
            alert_text(incident, seen, seen.at, causes),
            dict(kind=incident.kind, channel=self.channels[channel].name),
        )
        try:
            self.channels[channel].tell(words.subject, words.text, "success" if incident.ended_at else "failure")
        except Failure as error:
            log.warning("alert.unheard", **said, error=describe(error))
            return None
        log.info("alert.told", **said, news=incident.news_for(channel))
        return incident.news_for(channel)


def _claim(database: Database, channels: Sequence[str], now: datetime) -> tuple[Incident, str] | None:
    with database.transaction() as session:
        return Incident.claim(session, channels, now)


def _is_remembered() -> ColumnElement[bool]:
    return and_(Incident.ended_at.is_(None), Incident.kind.in_(NEEDS_NO_DATABASE))


def _causes(database: Database, incident: Incident) -> Causes | None:
    """What the rows failed of that an incident is about."""
    with database.reading() as session:
        match incident.kind:
            case "deliveries_dead":
                return Causes.of_dead(session, Delivery)
            case "notifications_dead":
                return Causes.of_dead(session, Notification)
            case "failing_again":
                return Causes.of_failing_again(session, Delivery)
    return None


@cache
def alerts() -> Alerts:
    """This process's alerts."""
    return open_alerts(AlertSettings.load())


def open_alerts(settings: AlertSettings) -> Alerts:
    """Alerts on these settings.

    Raises:
        UnusableAlert: ALERT_CHANNELS names what cannot be used.
    """
    channels = {fingerprint(url): _open(url) for url in settings.alert_channels}
    return Alerts(channels, timedelta(seconds=settings.alert_waiting_seconds))


def _open(url: str) -> AppriseChannel:
    scheme, colon, _ = url.partition("://")
    if not colon:
        raise UnusableAlert("each is a URL of Apprise, such as 'ntfy://topic' or 'slack://...'")
    try:
        return AppriseChannel.of(url)
    except ValueError as error:
        raise UnusableAlert(f"one that starts with '{scheme[:16]}:' cannot be used: {error}") from error
