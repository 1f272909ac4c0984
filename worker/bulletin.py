"""The bulletin: what operators are told of an incident. Counts and commands; nothing of people, and no secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.incident import Incident, IncidentKind
from models.queue import Box
from models.survey import Rows

NAMES: Mapping[Box, str] = {"inbox": "deliveries", "outbox": "notifications"}


@dataclass(frozen=True)
class Wording:
    """What to say of one kind of incident, and what to type then."""

    began: str
    over: str
    commands: tuple[str, ...]


WORDINGS: dict[IncidentKind, Wording] = {
    "deliveries_dead": Wording(
        "deliveries are dead",
        "no delivery is dead any more",
        ("deliveries list --status dead", "replay --dead --dry-run"),
    ),
    "notifications_dead": Wording(
        "notifications are dead",
        "no notification is dead any more",
        ("notifications list --status dead", "notifications replay --dead --dry-run"),
    ),
    "waiting_too_long": Wording(
        "something waits too long",
        "nothing waits too long any more",
        ("status", "deliveries list --status pending"),
    ),
    "failing_again": Wording(
        "deliveries fail again and again",
        "no delivery fails again and again any more",
        ("deliveries errors", "replay --status pending --dry-run"),
    ),
    "processing_stuck": Wording(
        "a drain ended without an outcome",
        "each drain has an outcome again",
        ("status", "deliveries list --status pending"),
    ),
    "worker_died": Wording(
        "a worker died",
        "no worker has died for 10 minutes",
        ("status", "deliveries errors"),
    ),
    "no_worker": Wording(
        "no worker runs",
        "each box has a worker again",
        ("alive worker", "status"),
    ),
    "clock_ahead": Wording(
        "a clock is wrong: deliveries were received in the future",
        "no delivery was received in the future any more",
        ("status",),
    ),
    "redis_only": Wording(
        "webhooks are in Redis only: do not restart or empty it",
        "no webhook is in Redis only any more",
        ("status",),
    ),
    "database_read_only": Wording(
        "the database answers, but cannot be written",
        "the database can be written again",
        ("status",),
    ),
    "database_down": Wording(
        "the database does not answer",
        "the database answers again",
        ("status",),
    ),
    "redis_down": Wording(
        "Redis does not answer",
        "Redis answers again",
        ("status",),
    ),
    "reconcile_stopped": Wording(
        "reconcile does not read everything",
        "reconcile reads everything again",
        ("status", "reconcile --dry-run"),
    ),
}


@dataclass(frozen=True)
class Bulletin:
    """A subject and a text."""

    subject: str
    text: str


def bulletin(incident: Incident, rows: Mapping[Box, Rows], now: datetime) -> Bulletin:
    """An incident in words: that it began, or that it is over, and how everything is now."""
    wording, counts = WORDINGS[incident.kind], [_count(box, rows[box], now) for box in NAMES]
    if incident.ended_at:
        lasted = in_words(incident.ended_at - incident.began_at)
        lines = [f"It began at {_clock(incident.began_at)} and lasted {lasted}.", *counts]
        return Bulletin(f"meetergo-inbox: over: {wording.over}", "\n".join(lines))
    lines = [f"Since {_clock(incident.began_at)}.", *counts, "What to type next:"]
    lines += [f"  python -m console {command}" for command in wording.commands]
    return Bulletin(f"meetergo-inbox: {wording.began}", "\n".join(lines))


def in_words(duration: timedelta) -> str:
    """Such as "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, int(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _count(box: Box, rows: Rows, now: datetime) -> str:
    age = f", the oldest for {in_words(now - rows.oldest_waiting)}" if rows.oldest_waiting else ""
    return f"{NAMES[box].capitalize()}: {rows.dead} dead, {rows.waiting} waiting{age}."


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
