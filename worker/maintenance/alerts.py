"""Alerts: notify each operator channel once when an incident begins and once when it is over.

The state is kept per channel. With one time for all, a channel that fails would either miss the incident, or make all
others repeat it at each check, 240 times an hour.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

import structlog
from redis import Redis
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from models.account import DEFAULT
from models.delivery import Delivery
from models.error_groups import ErrorGroups
from models.incident import EVENT_KINDS, NOTIFYING_LEASE, Incident, IncidentKind, IncidentState
from models.notification import Notification
from models.stats import Stats, collect_stats
from runtime.database import Database
from runtime.errors import Failure, describe, log_fields
from runtime.settings import UnusableSetting
from worker.channels.apprise import AppriseChannel
from worker.channels.invalid import check_is_one
from worker.maintenance.alert_text import alert_text
from worker.maintenance.conditions import CONDITIONS
from worker.maintenance.incident_memory import IncidentMemory, notifier_lock
from worker.maintenance.observation import ABSENT, ACCOUNT, AccountObservations, Observation, Observations
from worker.outbox.planner import channel_fingerprint
from worker.services import Services
from worker.settings import AlertSettings

MAX_NOTIFY_TIME = NOTIFYING_LEASE / 2
"""Limit for sending in one check, well within the lease that keeps other schedulers from sending the same."""


CHECKED_WITHOUT_DATABASE: Sequence[IncidentKind] = (
    "redis_only",
    "database_read_only",
    "database_down",
    "redis_down",
    "no_worker",
    "registration_lost",
    "api_key_refused",
    "api_key_expiring",
    "certificate_expiring",
)
"""Kinds that are tracked and notified while the database cannot be written."""

MIN_DURATION: Mapping[IncidentKind, timedelta] = {
    "database_down": timedelta(seconds=10),
    "redis_down": timedelta(seconds=10),
    "no_worker": timedelta(minutes=1),
}
"""How long a condition must hold: a restart is not an incident."""

log = structlog.get_logger()


class UnusableAlert(UnusableSetting):
    """ALERT_CHANNELS names a channel that cannot be used; the message quotes no secret."""


@dataclass(frozen=True)
class Alerts:
    """Tracks incidents and notifies the operators.

    Attributes:
        channels: fingerprint -> operator channel.
        max_wait: how long a row may wait to be processed.
        observed: what the slow checks of this process found last.
        observed_accounts: the same for accounts other than `default`.
    """

    channels: Mapping[str, AppriseChannel]
    max_wait: timedelta
    observed: Observations = field(default_factory=dict)
    observed_accounts: AccountObservations = field(default_factory=dict)
    _memory: IncidentMemory = field(default_factory=IncidentMemory)
    _since: dict[IncidentKind, datetime] = field(default_factory=dict)

    def check(self, services: Services, now: datetime) -> None:
        """Record the current incidents and send what is pending. A failed channel is tried again at the next check."""
        stats = collect_stats(services.database, services.job_queue, now)
        holds = {kind: self._holds(kind, stats) for kind in CONDITIONS}
        holds |= {kind: observation.holds for kind, observation in self.observed.copy().items()}
        if stats.rows is not None and stats.write_error is None:
            try:
                self._check_with_table(services, stats, holds)
                return
            except SQLAlchemyError as error:
                fields = log_fields(error)
        else:
            reason = stats.write_error or next(iter(stats.errors), None)
            fields = log_fields(reason) if reason else {}
        log.error("database.unavailable", task="alerts", **fields)
        self._check_without_table(services, stats, holds)

    def _holds(self, kind: IncidentKind, stats: Stats) -> bool | None:
        """Whether a condition holds and has held for long enough; None if that is unknown or too early to say."""
        is_met = CONDITIONS[kind](stats, self.max_wait)
        if not is_met:
            self._since.pop(kind, None)
            return is_met
        since = self._since.setdefault(kind, stats.at)
        return True if stats.at - since >= MIN_DURATION.get(kind, timedelta(0)) else None

    def _states(self, holds: Mapping[IncidentKind, bool | None]) -> Iterator[tuple[str, IncidentKind, Observation]]:
        """Yield the account, kind and state of each condition that is known: of `default` first, then of the others."""
        for kind, is_met in holds.items():
            if is_met is not None:
                yield DEFAULT, kind, Observation(is_met, self.observed.get(kind, ABSENT).details)
        for account, observed in self.observed_accounts.copy().items():
            for kind, observation in observed.copy().items():
                details = observation.details
                named = replace(observation, details={**details, ACCOUNT: account}) if details else observation
                yield account, kind, named

    def _check_with_table(self, services: Services, stats: Stats, holds: Mapping[IncidentKind, bool | None]) -> None:
        now, redis = stats.at, services.job_queue.redis
        with services.database.transaction() as session:
            self._memory.flush_to(session, redis)
        self._memory.clear(redis)
        for account, kind, state in self._states({**holds, **dict.fromkeys(EVENT_KINDS, False)}):
            with services.database.transaction() as session:
                Incident.record_state(session, account, kind, state.holds, list(self.channels), now, state.details)
        self._notify_all(services, stats)
        with services.database.read_only() as session:
            kept = select(Incident).where(Incident.ended_at.is_(None), Incident.kind.in_(CHECKED_WITHOUT_DATABASE))
            self._memory.load_open(session.scalars(kept))

    def _notify_all(self, services: Services, stats: Stats) -> None:
        reachable, database, started = list(self.channels), services.database, time.monotonic()
        while claimed := _claim(database, reachable, stats.at + timedelta(seconds=time.monotonic() - started)):
            incident, channel = claimed
            notified = self._notify(incident, channel, stats, _causes(database, incident))
            with database.transaction() as session:
                session.get_one(Incident, incident.id, with_for_update=True).release(channel, notified)
            if not notified:
                reachable.remove(channel)

    def _check_without_table(self, services: Services, stats: Stats, holds: Mapping[IncidentKind, bool | None]) -> None:
        redis, memory = services.job_queue.redis, self._memory
        with notifier_lock(redis) as is_held:
            if not is_held:
                return
            memory.load(redis)
            for account, kind, state in self._states({kind: holds.get(kind) for kind in CHECKED_WITHOUT_DATABASE}):
                if kind in CHECKED_WITHOUT_DATABASE:
                    memory.note(account, kind, state.holds, list(self.channels), stats.at, state.details)
            memory.save(redis)
            self._notify_from_memory(redis, stats)

    def _notify_from_memory(self, redis: Redis, stats: Stats) -> None:
        reachable, deadline = list(self.channels), time.monotonic() + MAX_NOTIFY_TIME.total_seconds()
        for incident, channel in list(self._memory.unnotified(reachable, stats.at)):
            if channel not in reachable:
                continue
            notified = self._notify(incident, channel, stats)
            incident.release(channel, notified)
            self._memory.save(redis)
            if not notified:
                reachable.remove(channel)
            if time.monotonic() > deadline:
                break

    def _notify(
        self, incident: Incident, channel: str, stats: Stats, causes: ErrorGroups | None = None
    ) -> IncidentState | None:
        content = alert_text(incident, stats, stats.at, causes)
        fields = dict(kind=incident.kind, channel=self.channels[channel].name)
        try:
            self.channels[channel].send_text(content.subject, content.text, content.type)
        except Failure as error:
            log.warning("alert.failed", **fields, error=describe(error))
            return None
        log.info("alert.sent", **fields, state=incident.pending_state_for(channel))
        return incident.pending_state_for(channel)


def _claim(database: Database, channels: Sequence[str], now: datetime) -> tuple[Incident, str] | None:
    with database.transaction() as session:
        return Incident.claim(session, channels, now)


def _causes(database: Database, incident: Incident) -> ErrorGroups | None:
    """Group the errors of the rows that an incident is about."""
    with database.read_only() as session:
        match incident.kind:
            case "deliveries_dead":
                return ErrorGroups.of_dead(session, Delivery)
            case "notifications_dead":
                return ErrorGroups.of_dead(session, Notification)
            case "failing_again":
                return ErrorGroups.of_repeated_failures(session, Delivery)
    return None


@cache
def alerts() -> Alerts:
    """Return this process's alerts."""
    return open_alerts(AlertSettings.load())


def open_alerts(settings: AlertSettings) -> Alerts:
    """Open alerts from settings.

    Raises:
        UnusableAlert: ALERT_CHANNELS names a channel that cannot be used.
    """
    channels = {channel_fingerprint(url): _open(url) for url in settings.alert_channels}
    return Alerts(channels, timedelta(seconds=settings.alert_waiting_seconds))


def _open(url: str) -> AppriseChannel:
    scheme, colon, _ = url.partition("://")
    if not colon:
        raise UnusableAlert("ALERT_CHANNELS: each is a URL of Apprise, such as 'ntfy://topic' or 'slack://...'")
    try:
        check_is_one(url)
        return AppriseChannel.open(url)
    except ValueError as error:
        raise UnusableAlert(f"ALERT_CHANNELS: one that starts with '{scheme[:16]}:' cannot be used: {error}") from error
