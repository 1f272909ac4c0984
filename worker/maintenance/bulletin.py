"""The alert_text: what operators are told of an incident. Counts and commands; nothing of people, and no secret."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.error_groups import Causes
from models.incident import Incident, IncidentKind
from models.stats import RowStats, Stats
from runtime.queue import QUEUES, QueueName

NAMES: Mapping[QueueName, str] = {"inbox": "deliveries", "outbox": "notifications"}
SINGULAR: Mapping[QueueName, str] = {"inbox": "delivery", "outbox": "notification"}


@dataclass(frozen=True)
class AlertWording:
    """What to say of one kind of incident, and what to type then.

    Attributes:
        began: what it is, if its numbers are not known.
        over: that it is over.
        commands: what to type.
        counted: the same as `began` with the numbers of now; empty if there are none to tell.
        hint: what else to know, or None.
    """

    began: str
    over: str
    commands: tuple[str, ...]
    counted: Callable[[Stats], str] = lambda seen: ""
    hint: str | None = None


def _dead(box: QueueName) -> Callable[[Stats], str]:
    return lambda seen: _number(seen.rows[box].dead, box, "is dead", "are dead") if seen.rows else ""


def _failing(seen: Stats) -> str:
    return _number(seen.failing.rows, "inbox", "fails again and again", "fail again and again")


def _from_future(seen: Stats) -> str:
    return _number(seen.from_future, "inbox", "was received in the future", "were received in the future")


def _redis_only(seen: Stats) -> str:
    held = seen.redis_only.count if seen.redis_only else 0
    webhooks = "1 webhook is" if held == 1 else f"{held} webhooks are"
    return f"{webhooks} in Redis only: do not restart or empty it" if held else ""


def _waiting(seen: Stats) -> str:
    """Of the box whose oldest row waits longest."""
    waiting = [(rows.oldest_waiting, box, rows) for box, rows in (seen.rows or {}).items() if rows.oldest_waiting]
    if not waiting:
        return ""
    oldest, box, rows = min(waiting, key=lambda entry: entry[0] or seen.at)
    return f"{_number(rows.waiting, box, 'waits', 'wait')}, the oldest for {format_duration(seen.at - (oldest or seen.at))}"


def _deaths(seen: Stats) -> str:
    died = [f"{number} at the {box}" for box, number in seen.deaths.items() if number]
    return f"workers died: {', '.join(died)}" if died else ""


def _no_worker(seen: Stats) -> str:
    alone = [box for box in QUEUES if seen.jobs and not seen.jobs[box].workers]
    return f"no worker works at the {' and the '.join(alone)}" if alone else ""


def _number(number: int, box: QueueName, one: str, many: str) -> str:
    return "" if not number else f"1 {SINGULAR[box]} {one}" if number == 1 else f"{number} {NAMES[box]} {many}"


WORDINGS: dict[IncidentKind, AlertWording] = {
    "deliveries_dead": AlertWording(
        "deliveries are dead",
        "no delivery is dead any more",
        ("deliveries list --status dead", "replay --dead --dry-run"),
        _dead("inbox"),
    ),
    "notifications_dead": AlertWording(
        "notifications are dead",
        "no notification is dead any more",
        ("notifications list --status dead", "notifications replay --dead --dry-run"),
        _dead("outbox"),
    ),
    "failing_again": AlertWording(
        "deliveries fail again and again",
        "no delivery fails again and again any more",
        ("deliveries errors", "replay --status pending --dry-run"),
        _failing,
    ),
    "waiting_too_long": AlertWording(
        "something waits too long",
        "nothing waits too long any more",
        ("status", "deliveries list --status pending"),
        _waiting,
    ),
    "processing_stuck": AlertWording(
        "a drain ended without an outcome",
        "each drain has an outcome again",
        ("status", "deliveries list --status pending"),
        hint="The log of the worker says which deliveries it held.",
    ),
    "worker_died": AlertWording(
        "a worker died",
        "no worker has died for 10 minutes",
        ("status", "deliveries list --status dead"),
        _deaths,
        "It was restarted, and what it held is tried again. The log of the worker says how it died.",
    ),
    "no_worker": AlertWording(
        "no worker runs",
        "each box has a worker again",
        ("alive worker", "status"),
        _no_worker,
        "What comes in is kept, and waits.",
    ),
    "clock_ahead": AlertWording(
        "a clock is wrong",
        "no delivery was received in the future any more",
        ("status",),
        _from_future,
        "Set the clock of the receiver's machine, and of this one.",
    ),
    "redis_only": AlertWording(
        "webhooks are in Redis only: do not restart or empty it",
        "no webhook is in Redis only any more",
        ("status",),
        _redis_only,
        "The database cannot store them now. They are stored as soon as it can.",
    ),
    "database_read_only": AlertWording(
        "the database answers, but cannot be written",
        "the database can be written again",
        ("status",),
        hint="Webhooks are kept in Redis until it can: do not restart or empty it.",
    ),
    "database_down": AlertWording(
        "the database does not answer",
        "the database answers again",
        ("status",),
        hint="Webhooks are kept in Redis until it does: do not restart or empty it.",
    ),
    "redis_down": AlertWording(
        "Redis does not answer",
        "Redis answers again",
        ("status",),
        hint="Webhooks are kept in the database, and are handled when it does.",
    ),
    "reconcile_stopped": AlertWording(
        "reconcile does not read everything",
        "reconcile reads everything again",
        ("status", "reconcile --dry-run"),
    ),
}


@dataclass(frozen=True)
class AlertText:
    """A subject and a text."""

    subject: str
    text: str


def alert_text(incident: Incident, seen: Stats, now: datetime, causes: Causes | None = None) -> AlertText:
    """An incident in words: that it began, or that it is over, and how everything is now.

    Args:
        incident: which.
        seen: how everything is.
        now: the time, UTC.
        causes: what the rows failed of, if it is about rows that failed.
    """
    wording, counts = WORDINGS[incident.kind], list(_counts(seen, now))
    if incident.ended_at:
        lasted = format_duration(incident.ended_at - incident.began_at)
        lines = [f"It began at {_clock(incident.began_at)} and lasted {lasted}.", *counts]
        return AlertText(f"meetergo-inbox: over: {wording.over}", "\n".join(lines))
    lines = [f"Since {_clock(incident.began_at)}.", *counts]
    lines += [f"Most frequent cause: {causes.in_words()}."] if causes and causes.most_frequent else []
    lines += [wording.hint] if wording.hint else []
    lines += ["What to type next:", *(f"  python -m console {command}" for command in wording.commands)]
    return AlertText(f"meetergo-inbox: {wording.counted(seen) or wording.began}", "\n".join(lines))


def format_duration(duration: timedelta) -> str:
    """Such as "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, int(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _counts(seen: Stats, now: datetime) -> Iterator[str]:
    if seen.rows:
        yield from (_count(box, seen.rows[box], now) for box in NAMES)
    held = _redis_only(seen)
    if held:
        yield f"{held[0].upper()}{held[1:]}."


def _count(box: QueueName, rows: RowStats, now: datetime) -> str:
    age = f", the oldest for {format_duration(now - rows.oldest_waiting)}" if rows.oldest_waiting else ""
    return f"{NAMES[box].capitalize()}: {rows.dead} dead, {rows.waiting} waiting{age}."


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
