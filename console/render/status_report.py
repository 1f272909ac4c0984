"""The sheet of `status`: the same look for people and for scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta

from rich.console import RenderableType
from rich.text import Text

from console.render import tables
from console.render.tables import Column
from console.render.text import NONE, age, count, moment
from models.reconciliation import Reconciled
from models.stats import RATE_OVER, Stats
from operations.checks import Finding
from operations.serialize import Json
from operations.status import StatusSnapshot
from runtime.queue import QUEUES, QueueName
from worker.maintenance.alerts import CONDITIONS

DRIFTS = ("missed", "changed", "cancelled", "revived")
HEADS = ("waiting", "oldest", "done", "dead", "/min", "jobs", "retries", "failed", "workers")
COUNTS = ("hosts", "appointments", *DRIFTS, "unknown")
COLUMNS = [Column("box"), *(Column(head, counts=True) for head in HEADS)]


def facts(look: StatusSnapshot, found: Sequence[Finding]) -> Json:
    """For scripts."""
    seen = look.seen
    return {
        "at": seen.at,
        "needs_person": bool(found),
        "concerns": [asdict(concern) for concern in found],
        "database": {"answers": seen.rows is not None or look.lacks_tables, "is_up_to_date": _up_to_date(look)},
        "database_can_be_written": None if seen.rows is None else seen.write_fault is None,
        "redis": {"answers": seen.jobs is not None},
        "redis_only": seen.redis_only and asdict(seen.redis_only),
        "failing_again": seen.failing.rows if seen.rows else None,
        "worker_deaths": dict(seen.deaths) if seen.jobs else None,
        "boxes": {box: _box(seen, box) for box in QUEUES},
        "accepted_per_minute": seen.accepted_per_minute if seen.rows else None,
        "incidents": dict(seen.incidents) if seen.rows else None,
        "next_runs": dict(seen.next_runs) if seen.jobs else None,
        "reconcile": _reconcile(seen.reconciled),
        "api_key_days_left": look.key_days_left,
    }


def _reconcile(reconciled: Reconciled | None) -> Json | None:
    """The last run that ended, and since when none does."""
    if reconciled is None:
        return None
    last = reconciled.last
    return {
        "began_at": reconciled.began_at,
        "unended_since": reconciled.unended_since,
        "last": last and {name: getattr(last, name) for name in ("started_at", "ended_at", *COUNTS, "error")},
    }


def _up_to_date(look: StatusSnapshot) -> bool | None:
    return not look.lacks_tables if look.lacks_tables or look.seen.rows is not None else None


def _box(seen: Stats, box: QueueName) -> Json:
    rows, jobs = seen.rows and seen.rows[box], seen.jobs and seen.jobs[box]
    oldest = rows.oldest_waiting if rows else None
    return {
        "waiting": rows and rows.waiting,
        "oldest_waiting_at": oldest,
        "oldest_waiting_seconds": oldest and max(0.0, (seen.at - oldest).total_seconds()),
        "done": rows and rows.done,
        "dead": rows and rows.dead,
        "per_minute": rows and rows.per_minute,
        "jobs_queued": jobs and jobs.queued,
        "jobs_scheduled": jobs and jobs.scheduled,
        "jobs_failed": jobs and jobs.failed,
        "workers": jobs and jobs.workers,
    }


def sheet(look: StatusSnapshot, found: Sequence[Finding]) -> Iterator[RenderableType]:
    """For people."""
    seen = look.seen
    yield Text(f"meetergo-inbox, {moment(seen.at)} UTC\n", style="bold")
    yield tables.listing(COLUMNS, [_line(seen, box) for box in QUEUES])
    yield Text()
    yield tables.fields(_around(look))
    yield Text()
    if not found:
        yield Text("Nothing needs a person.", style="green")
        return
    yield Text("This needs a person:", style="bold red")
    for concern in found:
        yield Text(f"  {concern.what}")
        if concern.command:
            yield Text(f"      {concern.command}", style="cyan", no_wrap=True, overflow="ignore")


def _line(seen: Stats, box: QueueName) -> list[str | Text]:
    rows, jobs = seen.rows and seen.rows[box], seen.jobs and seen.jobs[box]
    ours = [NONE] * 5
    if rows:
        waiting = [str(rows.waiting), age(rows.oldest_waiting, seen.at)]
        ours = [*waiting, str(rows.done), str(rows.dead), f"{rows.per_minute:.1f}"]
    theirs = [str(number) for number in asdict(jobs).values()] if jobs else [NONE] * 4
    return [box, *ours, *theirs]


def _around(look: StatusSnapshot) -> dict[str, str | Text | None]:
    seen = look.seen
    runs = (f"{task} {age(at, seen.at)}" for task, at in sorted(seen.next_runs.items()))
    redis, database = ("answers" if store is not None else "away" for store in (seen.jobs, seen.rows))
    if seen.write_fault:
        database = "answers, but cannot be written"
    over = count(int(RATE_OVER / timedelta(minutes=1)), "minute", "minutes")
    return {
        "database": "lacks tables" if look.lacks_tables else database,
        "redis": redis,
        "in Redis only": _redis_only(seen),
        "accepted": f"{seen.accepted_per_minute:.1f} a minute, over the last {over}" if seen.rows else None,
        "schedule": (", ".join(runs) or "does not run") if seen.jobs else None,
        "incidents": ", ".join(_incidents(look)) or None,
        "reconcile": _last_run(seen),
        "API key": None if look.key_days_left is None else count(look.key_days_left, "day left", "days left"),
    }


def _redis_only(seen: Stats) -> str | None:
    held = seen.redis_only
    if not held or not held.count:
        return None
    return f"{count(held.count, 'webhook', 'webhooks')}, the oldest {age(held.oldest, seen.at)}"


def _incidents(look: StatusSnapshot) -> Iterator[str]:
    """What the operators were told of. Each stays open until it has been over for a while."""
    seen = look.seen
    for kind, since in seen.incidents.items():
        is_over = kind in CONDITIONS and CONDITIONS[kind](seen, look.longest_wait) is False
        suffix = "; over now, and closed when it stays so" if is_over else ""
        yield f"{kind.replace('_', ' ')}, since {moment(since)} ({age(since, seen.at)}{suffix})"


def _last_run(seen: Stats) -> str | None:
    last = seen.reconciled and seen.reconciled.last
    if not last:
        return None
    ended = age(last.ended_at, seen.at)
    differed = sum(getattr(last, name) for name in DRIFTS)
    read = f"{count(last.appointments, 'appointment', 'appointments')} of {count(last.hosts, 'host', 'hosts')}"
    return f"{ended}: {read}, {differed} differed, {last.unknown} unknown to meetergo"
