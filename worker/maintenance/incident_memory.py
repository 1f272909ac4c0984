"""Incidents while the database cannot be written: kept in this process and in Redis, so that no alert repeats.

Once the database can be written again they move into its table. Without this, an outage of the database would cause
an alert at each start of a scheduler, and from each of several schedulers.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, cast

from redis import Redis
from redis.exceptions import LockError, RedisError
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from models.account import DEFAULT
from models.incident import NOTIFYING_LEASE, WORTH_NOTIFYING, Incident, IncidentKind
from runtime.database import insert_into
from runtime.redis.client import key_of

TTL = WORTH_NOTIFYING * 7
TIMES = {"began_at": "began_at", "calm_since": "quiet_since", "ended_at": "ended_at"}
"""Column -> attribute."""


class IncidentMemory:
    """Stores incidents while their table is unavailable."""

    def __init__(self) -> None:
        self._incidents: list[Incident] = []
        self._is_ahead_of_table = False
        self._version = 0

    def load_open(self, incidents: Iterable[Incident]) -> None:
        """Copy the table's open incidents, in order to continue from there when the database is down."""
        self._incidents = list(incidents)

    def load(self, redis: Redis) -> None:
        """Continue from what another scheduler, or this one before a restart, has recorded. Never raises."""
        try:
            stored = cast("bytes | None", redis.get(_key(redis)))
        except RedisError:
            return
        saved: dict[str, Any] = json.loads(stored) if stored else {"saves": 0}
        if saved["saves"] > self._version:
            self._version, self._is_ahead_of_table = saved["saves"], True
            self._incidents = [_from_json(fields) for fields in saved["incidents"]]

    def save(self, redis: Redis) -> None:
        """Share the state with other schedulers. Never raises: without Redis only this process keeps it."""
        self._is_ahead_of_table = True
        self._version += 1
        saved = {"saves": self._version, "incidents": [_as_json(incident) for incident in self._incidents]}
        with suppress(RedisError):
            redis.set(_key(redis), json.dumps(saved), ex=TTL)

    def note(
        self,
        account: str,
        kind: IncidentKind,
        holds: bool,
        channels: Collection[str],
        now: datetime,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Do the same as `Incident.record_state`, for one process at a time."""
        open_incidents = [
            incident
            for incident in self._incidents
            if (incident.kind, incident.account) == (kind, account) and incident.ended_at is None
        ]
        for incident in open_incidents:
            incident.continue_or_end(holds, channels, now, details)
        if holds and not open_incidents:
            notified = dict.fromkeys(channels, "nothing")
            row = dict(kind=kind, account=account, began_at=now, notified=notified, details=details)
            self._incidents.append(Incident(**row))

    def unnotified(self, channels: Collection[str], now: datetime) -> Iterator[tuple[Incident, str]]:
        """Yield each incident with a channel that has yet to be notified."""
        for incident in self._incidents:
            if incident.ended_at is None or incident.ended_at > now - WORTH_NOTIFYING:
                yield from ((incident, channel) for channel in channels if incident.pending_state_for(channel))

    def flush_to(self, session: Session, redis: Redis) -> None:
        """Write all incidents to the table. Call `clear` after the commit."""
        self.load(redis)
        if not self._is_ahead_of_table:
            return
        rows = session.scalars(select(Incident).where(Incident.ended_at.is_(None)).with_for_update())
        in_table = {(row.kind, row.account): row for row in rows}
        for incident in self._incidents:
            subject = (incident.kind, incident.account)
            row = in_table.get(subject)
            if row and row.began_at <= (incident.ended_at or row.began_at):
                row.notified = {**row.notified, **incident.notified}
                row.quiet_since, row.ended_at = incident.quiet_since, incident.ended_at
                row.details = incident.details
                session.flush()
                if row.ended_at:
                    del in_table[subject]
            elif not _is_in_table(session, incident):
                session.execute(insert_into(session, Incident).values(_columns(incident)).on_conflict_do_nothing())

    def clear(self, redis: Redis) -> None:
        """Forget everything once the table has it. Never raises."""
        self._is_ahead_of_table, self._version = False, 0
        with suppress(RedisError):
            redis.delete(_key(redis))


@contextmanager
def notifier_lock(redis: Redis) -> Iterator[bool]:
    """Yield whether this process may send alerts now; without Redis the lock cannot work, so every scheduler sends."""
    lock = redis.lock(key_of(redis, "incidents-lock"), timeout=NOTIFYING_LEASE.total_seconds(), blocking=False)
    try:
        is_held = lock.acquire()
    except RedisError:
        yield True
        return
    try:
        yield is_held
    finally:
        if is_held:
            with suppress(LockError, RedisError):  # it expired, and another scheduler may hold it
                lock.release()


def _is_in_table(session: Session, incident: Incident) -> bool:
    """Whether the table already has the incident: it was moved, but Redis could not record that."""
    same = (
        Incident.kind == incident.kind,
        Incident.account == incident.account,
        Incident.began_at == incident.began_at,
    )
    return bool(session.scalar(select(exists().where(*same))))


def _columns(incident: Incident) -> dict[str, Any]:
    times = {column: getattr(incident, attribute) for column, attribute in TIMES.items()}
    subject = {"kind": incident.kind, "account": incident.account}
    return {**subject, "told": incident.notified, "details": incident.details, **times}


def _as_json(incident: Incident) -> dict[str, Any]:
    fields = _columns(incident)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def _from_json(fields: Mapping[str, Any]) -> Incident:
    times = {
        attribute: datetime.fromisoformat(fields[column]) if fields[column] else None
        for column, attribute in TIMES.items()
    }
    subject = {"kind": fields["kind"], "account": fields.get("account", DEFAULT)}
    return Incident(**subject, notified=fields["told"], details=fields.get("details"), **times)


def _key(redis: Redis) -> str:
    return key_of(redis, "incidents")
