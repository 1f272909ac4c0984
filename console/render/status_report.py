"""Render `status` for people and for scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta

from rich.console import RenderableType
from rich.text import Text

from console.render import tables
from console.render.tables import Column
from models.reconciliation import ReconcileStatus
from models.stats import RATE_WINDOW, Stats
from operations.checks import Finding
from operations.serialize import Json
from operations.status import AccountStatus, StatusSnapshot
from operations.text import NO_VALUE, age, count, moment, printable, when
from runtime.queue import QUEUES, QueueName
from worker.maintenance.conditions import CONDITIONS

COUNT_COLUMNS = ("waiting", "oldest", "done", "dead", "/min", "jobs", "delayed", "failed", "workers")
COUNTS = ("hosts", "appointments", "missed", "changed", "cancelled", "revived", "unknown")
ACCOUNT_COLUMNS = [
    Column("account"),
    Column("state"),
    Column("waiting", is_number=True),
    Column("dead", is_number=True),
    Column("reconciled"),
]
COLUMNS = [Column("queue"), *(Column(head, is_number=True) for head in COUNT_COLUMNS)]


def to_json(snapshot: StatusSnapshot, findings: Sequence[Finding]) -> Json:
    """Render the snapshot as JSON."""
    stats = snapshot.stats
    accounts = {"accounts": [asdict(account) for account in snapshot.accounts]} if snapshot.accounts else {}
    return {
        "at": stats.at,
        "needs_person": bool(findings),
        "concerns": [{"what": finding.what, "command": finding.command} for finding in findings],
        "database": {
            "answers": stats.rows is not None or snapshot.is_schema_outdated,
            "is_up_to_date": _up_to_date(snapshot),
        },
        "database_can_be_written": None if stats.rows is None else stats.write_error is None,
        "redis": {"answers": stats.jobs is not None},
        "redis_only": stats.redis_only and asdict(stats.redis_only),
        "failing_again": stats.failing.rows if stats.rows else None,
        "worker_deaths": dict(stats.deaths) if stats.jobs else None,
        "boxes": {queue_name: _queue_to_json(stats, queue_name) for queue_name in QUEUES},
        "accepted_per_minute": stats.accepted_per_minute if stats.rows else None,
        "incidents": dict(stats.incidents) if stats.rows else None,
        "next_runs": dict(stats.next_runs) if stats.jobs else None,
        "reconcile": _reconcile(stats.reconcile_status),
        "api_key_days_left": snapshot.key_days_left,
        "misspelt_settings": dict(snapshot.misspelt_settings),
        **accounts,
    }


def _reconcile(reconciled: ReconcileStatus | None) -> Json | None:
    """Return the last completed run, and since when no run has completed."""
    if reconciled is None:
        return None
    last = reconciled.last
    return {
        "began_at": reconciled.began_at,
        "unended_since": reconciled.unended_since,
        "last": last and {name: getattr(last, name) for name in ("started_at", "ended_at", *COUNTS, "error")},
    }


def _up_to_date(snapshot: StatusSnapshot) -> bool | None:
    if snapshot.hidden_version:
        return None
    return not snapshot.is_schema_outdated if snapshot.is_schema_outdated or snapshot.stats.rows is not None else None


def _queue_to_json(stats: Stats, queue_name: QueueName) -> Json:
    rows, jobs = stats.rows and stats.rows[queue_name], stats.jobs and stats.jobs[queue_name]
    oldest = rows.oldest_waiting if rows else None
    return {
        "waiting": rows and rows.waiting,
        "oldest_waiting_at": oldest,
        "oldest_waiting_seconds": oldest and max(0.0, (stats.at - oldest).total_seconds()),
        "done": rows and rows.done,
        "dead": rows and rows.dead,
        "per_minute": rows and rows.per_minute,
        "jobs_queued": jobs and jobs.queued,
        "jobs_scheduled": jobs and jobs.scheduled,
        "jobs_failed": jobs and jobs.failed,
        "workers": jobs and jobs.workers,
    }


def render(snapshot: StatusSnapshot, findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Render the snapshot for people."""
    stats = snapshot.stats
    yield Text(f"meetergo-inbox, {moment(stats.at)} UTC\n", style="bold")
    yield tables.listing(COLUMNS, [_line(stats, queue_name) for queue_name in QUEUES])
    yield Text()
    yield tables.fields(_summary(snapshot))
    yield Text()
    if snapshot.accounts:
        yield tables.listing(ACCOUNT_COLUMNS, [_account_line(account, stats) for account in snapshot.accounts])
        yield Text()
    if not findings:
        yield Text("Nothing needs a person.", style="green")
        return
    yield Text("This needs a person:", style="bold red")
    for finding in findings:
        yield Text(f"  {finding.what}")
        if finding.command:
            yield Text(f"      {finding.command}", style="cyan", no_wrap=True, overflow="ignore")


def _line(stats: Stats, queue_name: QueueName) -> list[str | Text]:
    rows, jobs = stats.rows and stats.rows[queue_name], stats.jobs and stats.jobs[queue_name]
    row_cells = [NO_VALUE] * 5
    if rows:
        waiting = [str(rows.waiting), age(rows.oldest_waiting, stats.at)]
        row_cells = [*waiting, str(rows.done), str(rows.dead), f"{rows.per_minute:.1f}"]
    job_cells = [str(number) for number in asdict(jobs).values()] if jobs else [NO_VALUE] * 4
    return [queue_name, *row_cells, *job_cells]


def _account_line(account: AccountStatus, stats: Stats) -> list[str]:
    state = "active" if account.is_active else "disabled"
    reconciled = age(account.reconciled_at, stats.at) if account.reconciled_at else NO_VALUE
    return [account.name, state, str(account.waiting), str(account.dead), reconciled]


def _summary(snapshot: StatusSnapshot) -> dict[str, str | Text | None]:
    stats = snapshot.stats
    runs = (f"{_words(task)} {age(at, stats.at)}" for task, at in sorted(stats.next_runs.items()))
    redis, database = ("answers" if store is not None else "down" for store in (stats.jobs, stats.rows))
    if stats.write_error:
        database = "answers, but cannot be written"
    if stats.jobs and not stats.is_redis_usable:
        redis = "answers, but cannot be written"
    over = count(int(RATE_WINDOW / timedelta(minutes=1)), "minute", "minutes")
    return {
        "database": "lacks tables" if snapshot.is_schema_outdated else database,
        "its version": str(snapshot.newer_database) if snapshot.newer_database else None,
        "redis": redis,
        "in Redis only": _redis_only(stats),
        "accepted": f"{stats.accepted_per_minute:.1f} a minute, over the last {over}" if stats.rows else None,
        "schedule": (", ".join(runs) or "is not running") if stats.jobs else None,
        "incidents": "\n".join(_incidents(snapshot)) or None,
        "reconcile": _last_run(stats),
        "settings": "\n".join(_misspelt(snapshot)) or None,
        "API key": None if snapshot.key_days_left is None else count(snapshot.key_days_left, "day left", "days left"),
    }


def _misspelt(snapshot: StatusSnapshot) -> Iterator[str]:
    for name, meant in snapshot.misspelt_settings.items():
        yield f"{printable(name)} in .env is not a setting: did you mean {meant}?"


def _redis_only(stats: Stats) -> str | None:
    redis_only = stats.redis_only
    if not redis_only or not redis_only.count:
        return None
    return f"{count(redis_only.count, 'webhook', 'webhooks')}, the oldest {age(redis_only.oldest, stats.at)}"


def _incidents(snapshot: StatusSnapshot) -> Iterator[str]:
    """Yield the open incidents. Each stays open until its condition has been absent for a while."""
    stats = snapshot.stats
    for kind, since in stats.incidents.items():
        is_over = kind in CONDITIONS and CONDITIONS[kind](stats, snapshot.longest_wait) is False
        suffix = "; over now, and closed if it stays so" if is_over else ""
        yield f"{_words(kind)}, since {moment(since)} ({age(since, stats.at)}{suffix})"
    for incident in stats.account_incidents:
        about = f"{_words(incident.kind)} (account {incident.account})"
        yield f"{about}, since {when(incident.began_at, stats.at)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _last_run(stats: Stats) -> str | None:
    last = stats.reconcile_status and stats.reconcile_status.last
    if not last:
        return None
    ended = age(last.ended_at, stats.at)
    read = f"{count(last.appointments, 'appointment', 'appointments')} of {count(last.hosts, 'host', 'hosts')}"
    return f"{ended}: {read}, {last.differed} differed, {last.unknown} unknown to meetergo"
