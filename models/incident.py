"""Incidents: conditions that need an operator, from start to end, and which channels were notified."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Index, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.account import DEFAULT
from runtime.database import Model, insert_into, partial_index

IncidentKind = Literal[
    "deliveries_dead",
    "notifications_dead",
    "failing_again",
    "waiting_too_long",
    "processing_stuck",
    "link_skipped",
    "worker_died",
    "no_worker",
    "clock_ahead",
    "redis_only",
    "database_read_only",
    "database_down",
    "redis_down",
    "reconcile_stopped",
    "webhooks_silent",
    "webhooks_missed",
    "registration_lost",
    "api_key_refused",
    "api_key_expiring",
    "certificate_expiring",
    "hosts_unmapped",
]
KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)
EVENT_KINDS: frozenset[IncidentKind] = frozenset({"worker_died", "processing_stuck", "link_skipped"})
"""Kinds opened by the process that notices the event. They end when the event has not recurred for a while."""
IncidentState = Literal["nothing", "began", "over"]

RESOLVE_AFTER = timedelta(minutes=1)
"""How long a condition must be absent before its incident ends."""
RESOLVE_EVENT_AFTER = timedelta(minutes=10)
"""The same for `EVENT_KINDS`: an event that recurs within this time belongs to the same incident."""
NOTIFYING_LEASE = timedelta(seconds=60)
"""How long one process may take to notify channels before another may; longer than any channel's timeout."""
SEND_WITHIN = timedelta(minutes=1)
"""How long the first alert of an incident may take before operators are told that a channel does not take it."""
WORTH_NOTIFYING = timedelta(days=1)
"""How long after its end an incident is still sent to a channel that was down."""


class Incident(Model):
    """One incident. At most one of each kind is open in an account at any time.

    What concerns no single account belongs to `default`.

    `notified` maps the fingerprint of each operator channel to the state last sent to it. `quiet_since` is when the
    condition was last seen to disappear, and becomes the end unless it returns soon. `claimed_until` keeps other
    processes from sending the same notification. `details` are numbers, times and ids that name the cause; a lower
    `level` in them is worse and is notified again.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        partial_index("uq_incidents_kind_account_open", "kind", "account", where="ended_at IS NULL", unique=True),
        Index("ix_incidents_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[IncidentKind] = mapped_column(String(32))
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    began_at: Mapped[datetime]
    quiet_since: Mapped[datetime | None] = mapped_column("calm_since")
    ended_at: Mapped[datetime | None]
    notified: Mapped[dict[str, Any]] = mapped_column("told", default=dict)
    claimed_until: Mapped[datetime | None]
    details: Mapped[dict[str, Any] | None]

    @classmethod
    def all_open(cls, session: Session) -> Sequence["Incident"]:
        """Return the open incidents of all accounts, oldest first."""
        return session.scalars(select(cls).where(cls.ended_at.is_(None)).order_by(cls.id)).all()

    @classmethod
    def record_state(
        cls,
        session: Session,
        account: str,
        kind: IncidentKind,
        is_active: bool,
        channels: Collection[str] | None,
        now: datetime,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record whether a condition is active: begin an incident, end it, or neither.

        Args:
            session: session of the transaction.
            account: the account that it is about; `default` if it is about none.
            kind: the kind of incident.
            is_active: whether the condition holds now.
            channels: fingerprints of the channels to notify; None if this process does not know them.
            now: the time, UTC.
            details: what names the cause, JSON without personal data.
        """
        is_same = (cls.kind == kind, cls.account == account, cls.ended_at.is_(None))
        incident = session.scalars(select(cls).where(*is_same).with_for_update()).one_or_none()
        if incident:
            incident.continue_or_end(is_active, channels, now, details)
        elif is_active:
            row = dict(
                kind=kind, account=account, began_at=now, told=dict.fromkeys(channels or (), "nothing"), details=details
            )
            session.execute(insert_into(session, cls).values(row).on_conflict_do_nothing())

    @classmethod
    def record_event(cls, session: Session, kind: IncidentKind, now: datetime) -> None:
        """Record an event of `EVENT_KINDS`. The channels are those of the process that sends the alert."""
        cls.record_state(session, DEFAULT, kind, True, None, now)

    @classmethod
    def claim(cls, session: Session, channels: Sequence[str], now: datetime) -> "tuple[Incident, str] | None":
        """Claim an incident with a pending notification, and return it with the channel to notify."""
        is_fresh = or_(cls.ended_at.is_(None), cls.ended_at > now - WORTH_NOTIFYING)
        is_free = or_(cls.claimed_until.is_(None), cls.claimed_until <= now)
        query = select(cls).where(is_fresh, is_free).order_by(cls.id).with_for_update(skip_locked=True)
        for incident in session.scalars(query):
            for channel in channels:
                if incident.pending_state_for(channel):
                    incident.claimed_until = now + NOTIFYING_LEASE
                    return incident, channel
        return None

    def pending_state_for(self, channel: str) -> IncidentState | None:
        """Return the state to send to a channel; None if it is up to date, or was configured after the incident."""
        state: IncidentState = "over" if self.ended_at else "began"
        return None if self.notified.get(channel) in (None, state) else state

    def unnotified_channels(self, now: datetime) -> set[str]:
        """Return the channels to which its beginning should have been sent by now."""
        if self.began_at > now - SEND_WITHIN:
            return set()
        return {channel for channel, state in self.notified.items() if state == "nothing"}

    def release(self, channel: str, sent: IncidentState | None) -> None:
        """Release the claim after an attempt, and record the state that was sent; None if sending failed."""
        self.claimed_until = None
        if sent:
            self.notified = {**self.notified, channel: sent}

    def continue_or_end(
        self, is_active: bool, channels: Collection[str] | None, now: datetime, details: Mapping[str, Any] | None
    ) -> None:
        """Record whether the condition still holds. The incident ends once it has been absent for a while."""
        if channels is not None:  # a removed channel is forgotten, unless it waits for the end
            known = {name: state for name, state in self.notified.items() if state != "nothing"}
            self.notified = {**dict.fromkeys(channels, "nothing"), **known}
        if is_active:
            self.quiet_since = None
            if details is not None:
                self._update_details(details)
        elif self.quiet_since is None:
            self.quiet_since = now
        elif now - self.quiet_since >= (RESOLVE_EVENT_AFTER if self.kind in EVENT_KINDS else RESOLVE_AFTER):
            self.ended_at = self.quiet_since

    def _update_details(self, details: Mapping[str, Any]) -> None:
        before = (self.details or {}).get("level")
        if before is not None and details.get("level", before) < before:
            self.notified = dict.fromkeys(self.notified, "nothing")
        self.details = dict(details)
