"""The text of an alert: counts and commands; no personal data and no secret."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from models.error_groups import ErrorGroups
from models.incident import Incident, IncidentKind
from models.stats import RowStats, Stats
from runtime.queue import QUEUES, QueueName
from worker.maintenance.observation import ACCOUNT, cause

AlertType = Literal["warning", "failure", "success"]
"""Types of a message, as Apprise names them."""

PLURAL: Mapping[QueueName, str] = {"inbox": "deliveries", "outbox": "notifications"}
SINGULAR: Mapping[QueueName, str] = {"inbox": "delivery", "outbox": "notification"}


@dataclass(frozen=True)
class AlertWording:
    """The wording for one kind of incident, and the commands that help.

    Attributes:
        firing: the incident, if its numbers are unknown.
        resolved: the end of the incident.
        commands: commands to run.
        describe: returns `firing` with current numbers; empty if there are none to show.
        hint: further advice, or None.
        section: the section of docs/operations.md that says what it means and what to do.
        is_warning: whether it is a warning, not a failure: it delays or loses no webhook by itself.
    """

    firing: str
    resolved: str
    commands: tuple[str, ...]
    describe: Callable[[Stats], str] = lambda stats: ""
    hint: str | None = None
    section: str = field(kw_only=True)
    is_warning: bool = field(default=False, kw_only=True)


def _dead(queue: QueueName) -> Callable[[Stats], str]:
    return lambda stats: _pluralize(stats.rows[queue].dead, queue, "is dead", "are dead") if stats.rows else ""


def _failing(stats: Stats) -> str:
    return _pluralize(stats.failing.rows, "inbox", "fails repeatedly", "fail repeatedly")


def _from_future(stats: Stats) -> str:
    return _pluralize(stats.from_future, "inbox", "was received in the future", "were received in the future")


def _redis_only(stats: Stats) -> str:
    deferred = stats.redis_only.count if stats.redis_only else 0
    return f"{deferred} {'webhook is' if deferred == 1 else 'webhooks are'} in Redis only" if deferred else ""


def _waiting(stats: Stats) -> str:
    """Describe the queue whose oldest row has waited longest."""
    rows_of = (stats.rows or {}).items()
    waiting = [(oldest, queue, rows.waiting) for queue, rows in rows_of if (oldest := rows.oldest_waiting)]
    if not waiting:
        return ""
    oldest, queue, number = min(waiting)
    return f"{_pluralize(number, queue, 'waits', 'wait')}, the oldest for {format_duration(stats.at - oldest)}"


def _deaths(stats: Stats) -> str:
    died = [f"{number} at the {queue}" for queue, number in stats.deaths.items() if number]
    return f"workers died: {', '.join(died)}" if died else ""


def _no_worker(stats: Stats) -> str:
    unattended = [queue for queue in QUEUES if stats.jobs and not stats.jobs[queue].workers]
    return f"no worker runs for the {' and the '.join(unattended)}" if unattended else ""


def _pluralize(number: int, queue: QueueName, one: str, many: str) -> str:
    return "" if not number else f"1 {SINGULAR[queue]} {one}" if number == 1 else f"{number} {PLURAL[queue]} {many}"


WORDINGS: dict[IncidentKind, AlertWording] = {
    "deliveries_dead": AlertWording(
        "deliveries are dead",
        "no delivery is dead any more",
        ("deliveries list --status dead", "replay --dead --dry-run"),
        _dead("inbox"),
        section="Deliveries are dead",
    ),
    "notifications_dead": AlertWording(
        "notifications are dead",
        "no notification is dead any more",
        ("notifications list --status dead", "notifications replay --dead --dry-run"),
        _dead("outbox"),
        section="Notifications are dead",
        is_warning=True,
    ),
    "failing_again": AlertWording(
        "deliveries fail repeatedly",
        "no delivery fails repeatedly any more",
        ("deliveries errors", "replay --status pending --dry-run"),
        _failing,
        section="Deliveries fail repeatedly",
    ),
    "waiting_too_long": AlertWording(
        "something waits too long",
        "nothing waits too long any more",
        ("status", "deliveries list --status pending"),
        _waiting,
        section="Something waits too long",
    ),
    "processing_stuck": AlertWording(
        "a drain ended without an outcome",
        "each drain has an outcome again",
        ("status", "deliveries list --status pending"),
        hint="The log of the worker says which deliveries it was processing.",
        section="A drain ended without an outcome",
        is_warning=True,
    ),
    "link_skipped": AlertWording(
        "a booking or a host could not be linked and was left out",
        "nothing was left out of linking for 10 minutes",
        ("status", "replay --booking ID --dry-run"),
        hint="The log names each (link.skipped). Remove the cause, then replay the booking.",
        section="A booking could not be linked",
        is_warning=True,
    ),
    "worker_died": AlertWording(
        "a worker died",
        "no worker has died for 10 minutes",
        ("status", "deliveries list --status dead"),
        _deaths,
        "It was restarted, and what it was processing is retried. The log of the worker says how it died.",
        section="A worker died",
        is_warning=True,
    ),
    "no_worker": AlertWording(
        "no worker runs",
        "each queue has a worker again",
        ("healthcheck worker", "status"),
        _no_worker,
        "Webhooks are kept, and wait for a worker.",
        section="No worker",
    ),
    "clock_ahead": AlertWording(
        "a clock is wrong",
        "no delivery was received in the future any more",
        ("status",),
        _from_future,
        "Set the clock of the receiver's machine, and of this one.",
        section="A clock is wrong",
        is_warning=True,
    ),
    "redis_only": AlertWording(
        "webhooks are in Redis only: do not restart or empty it",
        "no webhook is in Redis only any more",
        ("status",),
        lambda stats: f"{_redis_only(stats)}: do not restart or empty it" if _redis_only(stats) else "",
        "They are stored as soon as the database can, unless `status` says that no worker stores them.",
        section="The database cannot be written",
    ),
    "database_read_only": AlertWording(
        "the database answers, but cannot be written",
        "the database can be written again",
        ("status",),
        hint="Webhooks are kept until it can be written, some in Redis: do not restart or empty it.",
        section="The database cannot be written",
    ),
    "database_down": AlertWording(
        "the database does not answer",
        "the database answers again",
        ("status",),
        hint="Webhooks are kept in Redis until it does: do not restart or empty it.",
        section="A store is down",
    ),
    "redis_down": AlertWording(
        "Redis cannot be used",
        "Redis can be used again",
        ("status",),
        hint="Webhooks are kept in the database, and are processed once Redis can be used.",
        section="A store is down",
    ),
    "reconcile_stopped": AlertWording(
        "reconcile cannot read everything",
        "reconcile reads everything again",
        ("status", "reconcile --dry-run"),
        section="Reconcile cannot read everything",
        is_warning=True,
    ),
    "webhooks_silent": AlertWording(
        "no webhook has arrived for unusually long",
        "webhooks arrive again",
        ("webhook list", "reconcile --dry-run"),
        hint="If today is a holiday, nothing may be wrong. Else meetergo does not reach the receiver.",
        section="No webhook arrives",
        is_warning=True,
    ),
    "webhooks_missed": AlertWording(
        "webhooks do not arrive",
        "webhooks arrive again",
        ("webhook list", "status"),
        hint="Reconcile has corrected the bookings, and does so every ten minutes.",
        section="No webhook arrives",
    ),
    "registration_lost": AlertWording(
        "meetergo does not post to our address any more",
        "meetergo posts to our address again",
        ("webhook list", "webhook register"),
        section="The registration is lost",
    ),
    "api_key_refused": AlertWording(
        "meetergo refuses the API key",
        "meetergo accepts the API key again",
        ("api check",),
        hint="Make a new key at meetergo, set MEETERGO_API_KEY and MEETERGO_API_KEY_EXPIRES, and restart cron.",
        section="The API key",
    ),
    "api_key_expiring": AlertWording(
        "the API key of meetergo ends soon",
        "the API key of meetergo was renewed",
        ("status",),
        hint="Make a new key at meetergo, set MEETERGO_API_KEY and MEETERGO_API_KEY_EXPIRES, and restart cron.",
        section="The API key",
        is_warning=True,
    ),
    "certificate_expiring": AlertWording(
        "the certificate of PUBLIC_URL ends soon",
        "the certificate of PUBLIC_URL was renewed",
        ("status",),
        hint="meetergo stops posting when it has ended. Look at what renews it, in front of the receiver.",
        section="The certificate ends",
        is_warning=True,
    ),
    "hosts_unmapped": AlertWording(
        "bookings wait for a host whom no platform user is mapped to",
        "no booking waits for its host any more",
        ("users sync --dry-run", "users list"),
        hint="The host is not notified of these bookings. They get their owner as soon as the mapping is there.",
        section="A host is not mapped",
        is_warning=True,
    ),
}

KEY_KINDS: frozenset[IncidentKind] = frozenset({"api_key_refused", "api_key_expiring"})
RENEW_KEY = "Make a new key at meetergo, and give it to the account: nothing has to be restarted."


@dataclass(frozen=True)
class AlertText:
    """Subject, text and type of an alert."""

    subject: str
    text: str
    type: AlertType


def alert_text(incident: Incident, stats: Stats, now: datetime, causes: ErrorGroups | None = None) -> AlertText:
    """Render an incident: that it began or is over, and the current counts.

    Args:
        incident: the incident.
        stats: current statistics.
        now: the time, UTC.
        causes: grouped errors, if the incident is about failed rows.
    """
    wording, counts = WORDINGS[incident.kind], list(_count_lines(stats, now))
    if incident.ended_at:
        lasted = format_duration(incident.ended_at - incident.began_at)
        lines = [f"It began at {_format_time(incident.began_at)} and lasted {lasted}.", *counts]
        account = (incident.details or {}).get(ACCOUNT)
        resolved = f"account {account}: {wording.resolved}" if account else wording.resolved
        return AlertText(f"meetergo-inbox: resolved: {resolved}", "\n".join(lines), "success")
    lines = [f"Since {_format_time(incident.began_at)}.", *counts]
    lines += [f"Most frequent cause: {causes.summary()}."] if causes and causes.most_frequent else []
    account = (incident.details or {}).get(ACCOUNT)
    hint, commands = _advice(wording, incident.kind, account) if account else (wording.hint, wording.commands)
    lines += [hint] if hint else []
    lines += ["Next commands:", *(f"  bin/inbox {command}" for command in commands)]
    lines += [f'More: docs/operations, "{wording.section}"']
    what = cause(incident.kind, incident.details) or wording.describe(stats) or wording.firing
    return AlertText(f"meetergo-inbox: {what}", "\n".join(lines), _type(incident))


def _advice(wording: AlertWording, kind: IncidentKind, account: str) -> tuple[str | None, Sequence[str]]:
    """Return the hint and the commands for an account other than `default`."""
    of_account = [
        f"{command} --account {account}" if _takes_account(command) else command for command in wording.commands
    ]
    if kind in KEY_KINDS:
        return RENEW_KEY, (f"accounts set {account} --api-key", *of_account)
    return wording.hint, of_account


def _takes_account(command: str) -> bool:
    """Whether a command has the option --account."""
    return not command.startswith(("status", "healthcheck"))


def _type(incident: Incident) -> AlertType:
    has_expired = (incident.details or {}).get("level") == 0
    return "warning" if WORDINGS[incident.kind].is_warning and not has_expired else "failure"


def format_duration(duration: timedelta) -> str:
    """Format such as "45 s", "12 min", "3 h 20 min"."""
    seconds = max(0, int(duration.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _count_lines(stats: Stats, now: datetime) -> Iterator[str]:
    if stats.rows:
        yield from (_queue_line(queue, stats.rows[queue], now) for queue in PLURAL)
    deferred = _redis_only(stats)
    if deferred:
        yield f"{deferred}."


def _queue_line(queue: QueueName, rows: RowStats, now: datetime) -> str:
    age = f", the oldest for {format_duration(now - rows.oldest_waiting)}" if rows.oldest_waiting else ""
    return f"{PLURAL[queue].capitalize()}: {rows.dead} dead, {rows.waiting} waiting{age}."


def _format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
