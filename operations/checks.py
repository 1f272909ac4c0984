"""Health checks: findings that need an operator, each with the command that helps."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from models.incident import IncidentKind
from models.stats import Stats
from operations.errors import MIGRATE_COMMAND, first_line
from operations.status import StatusSnapshot
from operations.store_errors import store_error_message
from operations.text import count, duration, printable
from runtime.database import CLOCK_TOLERANCE, is_schema_outdated
from runtime.queue import QUEUES, QueueName
from runtime.redis.heartbeat import DEATH_WINDOW, SIGNS_OF_SCHEDULER, TASKS
from worker.maintenance.observation import cause

NOUNS: dict[QueueName, tuple[str, str]] = {
    "inbox": ("delivery", "deliveries"),
    "outbox": ("notification", "notifications"),
}
API_KEY_WARNING = timedelta(days=14)
RENEW_API_KEY = "create a new one, and set MEETERGO_API_KEY_EXPIRES to its last day"


@dataclass(frozen=True)
class Finding:
    """One problem that needs an operator.

    Attributes:
        what: the problem in one sentence.
        command: the command or action that helps; None if the sentence names it.
        kind: identifies the check.
        values: numbers, times and names in the sentence.
    """

    what: str
    command: str | None = None
    kind: str = ""
    values: dict[str, Any] = field(default_factory=dict)


def run_checks(snapshot: StatusSnapshot) -> list[Finding]:
    """Run all checks; the most severe findings come first."""
    stats = snapshot.stats
    return [
        *_check_stores(stats, snapshot),
        *_check_redis_only(stats),
        *_check_processes(stats),
        *_check_alerts(stats),
        *_check_repeated_failures(stats),
        *_check_rows(stats, snapshot.longest_wait),
        *_check_clocks(stats),
        *_check_reconcile(stats),
        *_check_observed(stats, "registration_lost", "webhooks_missed", "webhooks_silent"),
        *_check_api_key(snapshot.key_days_left),
        *_check_observed(stats, "api_key_refused", "certificate_expiring", "hosts_unmapped"),
        *_check_accounts(stats),
    ]


def _check_stores(stats: Stats, snapshot: StatusSnapshot) -> Iterator[Finding]:
    if snapshot.newer_database and snapshot.newer_database.obstacles:
        yield Finding(str(snapshot.newer_database), None, "newer", {"message": str(snapshot.newer_database)})
    elif snapshot.hidden_version:
        yield Finding(snapshot.hidden_version, None, "version_hidden", {"message": snapshot.hidden_version})
    elif snapshot.is_schema_outdated:
        yield Finding("the database does not have the tables of this version", MIGRATE_COMMAND, "schema")
    if snapshot.restricted_tables:
        yield Finding(snapshot.restricted_tables, None, "row_security", {"message": snapshot.restricted_tables})
    for error in stats.errors:
        if not is_schema_outdated(error):
            message = store_error_message(error)
            yield Finding(message, None, "store", {"message": message})
    if stats.write_error and not (snapshot.is_schema_outdated and is_schema_outdated(stats.write_error)):
        reason = first_line(stats.write_error)
        yield Finding(
            f"the database answers, but cannot be written: {reason}. Webhooks are kept until it can",
            None,
            "read_only",
            {"reason": reason},
        )


def _check_redis_only(stats: Stats) -> Iterator[Finding]:
    redis_only = stats.redis_only
    if redis_only and redis_only.count:
        verb = "is" if redis_only.count == 1 else "are"
        since = f", the oldest for {duration(stats.at - redis_only.oldest)}" if redis_only.oldest else ""
        yield Finding(
            f"{count(redis_only.count, 'webhook', 'webhooks')} {verb} in Redis only{since}: do not restart or empty it",
            None,
            "redis_only",
            {"number": redis_only.count, "since": redis_only.oldest},
        )
    if stats.eviction_policy:
        yield Finding(
            f"Redis evicts keys when it is full ({stats.eviction_policy}), and may lose webhooks while the database is "
            "down: set its maxmemory-policy to noeviction",
            None,
            "evicts",
            {"policy": stats.eviction_policy},
        )
    for queue, waiting in stats.orphaned_queues.items():
        yield Finding(
            f"{count(waiting, 'webhook is', 'webhooks are')} in the queue {queue}, and no worker stores "
            f"{'it' if waiting == 1 else 'them'} (accepted by an older version, or with another REDIS_PREFIX or "
            "DATABASE_URL): adopt what is this platform's",
            f"bin/inbox adopt-queue {queue}",
            "orphaned",
            {"number": waiting, "queue": queue},
        )


def _check_processes(stats: Stats) -> Iterator[Finding]:
    if stats.jobs is None or not stats.is_redis_usable:
        return
    unattended = [queue_name for queue_name in QUEUES if not stats.jobs[queue_name].workers]
    if unattended:
        yield Finding(
            f"no worker runs for the {' and the '.join(unattended)}",
            "python -m worker",
            "no_worker",
            {"queues": ", ".join(unattended)},
        )
    for queue_name in QUEUES:
        if stats.deaths.get(queue_name):
            times = count(stats.deaths[queue_name], "time", "times")
            yield Finding(
                f"workers of the {queue_name} died {times} in the last {duration(DEATH_WINDOW)} (see their log)",
                f"bin/inbox {NOUNS[queue_name][1]} list --status dead",
                "worker_died",
                {"number": stats.deaths[queue_name], "queue": queue_name},
            )
    stopped = [task for task in TASKS if task not in stats.next_runs]
    if all(task in stopped for task in SIGNS_OF_SCHEDULER):
        yield Finding("the scheduler is not running", "python -m worker.scheduler", "no_scheduler")
    elif stopped and stats.rows is not None:  # without the database, no other task can complete
        tasks = ", ".join(stopped).replace("_", " ")
        yield Finding(f"the scheduler does not complete: {tasks} (see its log)", None, "task_stopped", {"tasks": tasks})


def _check_alerts(stats: Stats) -> Iterator[Finding]:
    if stats.alerts_unsent:
        channels = count(stats.alerts_unsent, "alert channel does", "alert channels do")
        yield Finding(
            f"{channels} not take the alert of an open incident (alert.failed in the scheduler's log says why)",
            None,
            "alerts_unsent",
            {"number": stats.alerts_unsent},
        )


def _check_repeated_failures(stats: Stats) -> Iterator[Finding]:
    failing = stats.failing
    if failing.rows:
        what = f"{count(failing.rows, 'delivery fails', 'deliveries fail')} repeatedly"
        causes = printable(failing.summary())
        values = {"number": failing.rows, "causes": causes}
        yield Finding(f"{what} ({causes})", "bin/inbox deliveries errors", "failing", values)
    if "processing_stuck" in stats.incidents:
        since = duration(stats.at - stats.incidents["processing_stuck"])
        yield Finding(
            f"a drain ended without an outcome, {since} ago (see the worker's log)",
            "bin/inbox deliveries list --status pending",
            "stuck",
            {"since": stats.incidents["processing_stuck"]},
        )


def _check_rows(stats: Stats, longest_wait: timedelta) -> Iterator[Finding]:
    for queue_name in QUEUES if stats.rows else ():
        rows, (singular, plural) = (stats.rows or {})[queue_name], NOUNS[queue_name]
        if rows.dead:
            dead = f"{count(rows.dead, singular, plural)} {'is' if rows.dead == 1 else 'are'} dead"
            yield Finding(
                dead, f"bin/inbox {plural} list --status dead", "dead", {"number": rows.dead, "queue": queue_name}
            )
        if rows.oldest_waiting and stats.at - rows.oldest_waiting > longest_wait:
            waited = duration(stats.at - rows.oldest_waiting)
            what = f"{count(rows.waiting, singular, plural)} waiting, the oldest for {waited}"
            values = {"number": rows.waiting, "queue": queue_name, "since": rows.oldest_waiting}
            yield Finding(what, f"bin/inbox {plural} list --status pending", "waiting", values)


def _check_clocks(stats: Stats) -> Iterator[Finding]:
    if stats.from_future:
        yield Finding(
            f"{count(stats.from_future, 'delivery says it was', 'deliveries say they were')} received in the future: "
            "set the clock of the receiver's machine",
            None,
            "from_future",
            {"number": stats.from_future},
        )
    if abs(stats.clock_lead) > CLOCK_TOLERANCE:
        side = "ahead of" if stats.clock_lead > timedelta(0) else "behind"
        yield Finding(
            f"this machine's clock is {duration(abs(stats.clock_lead))} {side} the database's: set it",
            None,
            "clock",
            {"length": abs(stats.clock_lead)},
        )


def _check_reconcile(stats: Stats) -> Iterator[Finding]:
    error = stats.reconcile_status and stats.reconcile_status.error(stats.at)
    if error:
        yield Finding(
            f"reconcile cannot read everything: {printable(error)}",
            "bin/inbox reconcile --dry-run",
            "reconcile",
            {"error": printable(error)},
        )


def _check_observed(stats: Stats, *kinds: IncidentKind) -> Iterator[Finding]:
    """Report what the scheduler's slow checks found; see `worker/maintenance/observation.py`."""
    for kind in kinds:
        if kind in stats.incident_details:
            values = dict(stats.incident_details[kind])
            what = printable(cause(kind, values))
            if "since" in values:
                values["since"] = datetime.fromisoformat(values["since"])
            name, command = OBSERVED[kind]
            yield Finding(what, command, name, values)


OBSERVED: dict[IncidentKind, tuple[str, str | None]] = {
    "registration_lost": ("registration", "bin/inbox webhook register"),
    "webhooks_missed": ("missed", "bin/inbox webhook list"),
    "webhooks_silent": ("silent", "bin/inbox webhook list"),
    "api_key_refused": ("key_refused", RENEW_API_KEY),
    "certificate_expiring": ("certificate", None),
    "hosts_unmapped": ("unmapped", "bin/inbox users sync --dry-run"),
}
"""Kind of an incident -> kind of the finding, and the command that helps."""


def _check_accounts(stats: Stats) -> Iterator[Finding]:
    """Report the incidents of accounts other than `default`, as detected by the scheduler."""
    for incident in stats.account_incidents:
        what = printable(cause(incident.kind, incident.details))
        if what and incident.quiet_since is None:
            command = f"bin/inbox {ACCOUNT_COMMANDS[incident.kind].format(incident.account)}"
            values = {"account": incident.account, "kind": incident.kind, "command": command}
            yield Finding(what, command, "account", values)


ACCOUNT_COMMANDS: dict[IncidentKind, str] = {
    "registration_lost": "webhook register --account {}",
    "webhooks_missed": "webhook list --account {}",
    "webhooks_silent": "webhook list --account {}",
    "api_key_refused": "accounts set {} --api-key",
    "api_key_expiring": "accounts set {} --api-key",
    "reconcile_stopped": "reconcile --dry-run --account {}",
    "hosts_unmapped": "users sync --dry-run --account {}",
}
"""Kind of an incident of an account -> the command that helps."""


def _check_api_key(days_left: int | None) -> Iterator[Finding]:
    if days_left is None or days_left > API_KEY_WARNING.days:
        return
    when = f"ends in {count(days_left, 'day', 'days')}" if days_left else "ends today"
    what = f"the API key of meetergo {when if days_left >= 0 else 'has ended'}"
    yield Finding(what, RENEW_API_KEY, "key", {"days": days_left})
