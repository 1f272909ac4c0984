"""Alerts: an operator channel hears once that a person is needed, and once that it is over."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import structlog

from models.database import Database
from models.failures import Failure, describe
from models.incident import EVENTS, Incident, IncidentKind, Told
from models.queue import Box
from models.survey import Rows, Survey, survey
from worker.announcer import fingerprint
from worker.bulletin import bulletin
from worker.channels.apprise import AppriseChannel
from worker.office import Office
from worker.settings import AlertSettings

Sign = Callable[[Mapping[Box, Rows], Survey, timedelta], bool]

SIGNS: dict[IncidentKind, Sign] = {
    "deliveries_dead": lambda rows, seen, patience: rows["inbox"].dead > 0,
    "notifications_dead": lambda rows, seen, patience: rows["outbox"].dead > 0,
    "waiting_too_long": lambda rows, seen, patience: any(
        bool(box.oldest_waiting and seen.at - box.oldest_waiting > patience) for box in rows.values()
    ),
    "reconcile_stopped": lambda rows, seen, patience: bool(seen.reconciled and seen.reconciled.error(seen.at)),
}
"""What a person has to look at: by what it shows."""

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

    def check(self, office: Office, now: datetime) -> None:
        """Keeps what is wrong, and tells what was not told yet. Who cannot be told now is told the next time."""
        seen = survey(office.database, office.bell, now)
        rows = seen.rows
        if rows is None:
            log.error("database.away", task="alerts")
            return
        for kind, holds in SIGNS.items():
            with office.database.transaction() as session:
                Incident.note(session, kind, holds(rows, seen, self.patience), list(self.channels), now)
        for kind in EVENTS:
            with office.database.transaction() as session:
                Incident.note(session, kind, False, list(self.channels), now)
        self._tell_all(office, rows, now)

    def _tell_all(self, office: Office, rows: Mapping[Box, Rows], now: datetime) -> None:
        reachable, database, started = list(self.channels), office.database, time.monotonic()
        while claimed := _claim(database, reachable, now + timedelta(seconds=time.monotonic() - started)):
            incident, channel = claimed
            heard = self._tell(incident, channel, rows, now)
            with database.transaction() as session:
                session.get_one(Incident, incident.id, with_for_update=True).settle(channel, heard)
            if not heard:
                reachable.remove(channel)

    def _tell(self, incident: Incident, channel: str, rows: Mapping[Box, Rows], now: datetime) -> Told | None:
        words, said = bulletin(incident, rows, now), dict(kind=incident.kind, channel=self.channels[channel].name)
        try:
            self.channels[channel].tell(words.subject, words.text)
        except Failure as error:
            log.warning("alert.unheard", **said, error=describe(error))
            return None
        log.info("alert.told", **said, news=incident.news_for(channel))
        return incident.news_for(channel)


def _claim(database: Database, channels: Sequence[str], now: datetime) -> tuple[Incident, str] | None:
    with database.transaction() as session:
        return Incident.claim(session, channels, now)


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
