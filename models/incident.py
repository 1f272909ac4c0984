"""Incidents: what a person has to look at, from when it began until it is over, and who was told of it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Index, String, or_, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from runtime.database import Model, insert_into

IncidentKind = Literal[
    "deliveries_dead",
    "notifications_dead",
    "failing_again",
    "waiting_too_long",
    "processing_stuck",
    "worker_died",
    "no_worker",
    "clock_ahead",
    "redis_only",
    "database_read_only",
    "database_down",
    "redis_down",
    "reconcile_stopped",
]
KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)
EVENT_KINDS: frozenset[IncidentKind] = frozenset({"worker_died", "processing_stuck"})
"""Opened by the process that notices, each time that it happens; nothing shows that such a thing is over but calm."""
IncidentState = Literal["nothing", "began", "over"]

RESOLVE_AFTER = timedelta(minutes=1)
"""What is back sooner was not over."""
RESOLVE_EVENT_AFTER = timedelta(minutes=10)
"""The same for `EVENT_KINDS`: what happens again within this is the same incident."""
NOTIFYING_LEASE = timedelta(seconds=60)
"""How long a teller has before another may tell the same; longer than any channel's timeout."""
WORTH_NOTIFYING = timedelta(days=1)
"""For so long after its end a channel that was away may still hear of an incident."""


class Incident(Model):
    """One incident; at any time at most one of a kind is open.

    `notified` maps the fingerprint of each operator channel to what it heard last. `quiet_since` is when it seemed to
    be over, and becomes its end unless it comes back soon. `claimed_until` keeps others from telling the same.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        Index(
            "uq_incidents_kind_open",
            "kind",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_incidents_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[IncidentKind] = mapped_column(String(32))
    began_at: Mapped[datetime]
    quiet_since: Mapped[datetime | None] = mapped_column("calm_since")
    ended_at: Mapped[datetime | None]
    notified: Mapped[dict[str, Any]] = mapped_column("told", default=dict)
    claimed_until: Mapped[datetime | None]

    @classmethod
    def open_kinds(cls, session: Session) -> Mapping[IncidentKind, datetime]:
        """Kind -> when it began."""
        return dict(session.execute(select(cls.kind, cls.began_at).where(cls.ended_at.is_(None))).all())

    @classmethod
    def record_state(
        cls, session: Session, kind: IncidentKind, is_active: bool, channels: Collection[str], now: datetime
    ) -> None:
        """Keeps whether there is something to look at: begins an incident, ends it, or neither.

        Args:
            session: of the transaction.
            kind: of what.
            is_active: whether it is so now.
            channels: fingerprints of who is to hear of it.
            now: the time, UTC.
        """
        incident = session.scalars(
            select(cls).where(cls.kind == kind, cls.ended_at.is_(None)).with_for_update()
        ).one_or_none()
        if incident:
            incident.continue_or_end(is_active, channels, now)
        elif is_active:
            row = dict(kind=kind, began_at=now, told=dict.fromkeys(channels, "nothing"))
            session.execute(insert_into(session, cls).values(row).on_conflict_do_nothing())

    @classmethod
    def claim(cls, session: Session, channels: Sequence[str], now: datetime) -> "tuple[Incident, str] | None":
        """An incident of which somebody has to hear, kept from other tellers for a while; and who."""
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
        """What a channel has to hear; None if it knows all, or came too late to be told."""
        last_state, state = self.notified.get(channel), "over" if self.ended_at else "began"
        return None if last_state in (None, state) else state  # type: ignore[return-value] # both are

    def release(self, channel: str, last_state: IncidentState | None) -> None:
        """After a try to tell: what was heard, or None if it could not be told."""
        self.claimed_until = None
        if last_state:
            self.notified = {**self.notified, channel: last_state}

    def continue_or_end(self, is_active: bool, channels: Collection[str], now: datetime) -> None:
        """Keeps whether it is still so: it is over when it has not been for a while."""
        self.notified = {**dict.fromkeys(channels, "nothing"), **self.notified}
        if is_active:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now
        elif now - self.quiet_since >= (RESOLVE_EVENT_AFTER if self.kind in EVENT_KINDS else RESOLVE_AFTER):
            self.ended_at = self.quiet_since
