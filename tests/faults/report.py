"""The report: one line per fault, and `docs/reliability.md` of all of them."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from string import Template

from models.notification import SEND_LEASE
from models.retryable import INITIAL_BACKOFF
from receiver.app import STATEMENT_TIMEOUT
from receiver.server import MAX_CONNECTIONS
from runtime.database import SQLITE_BUSY_TIMEOUT_SECONDS
from runtime.postgresql.engine import CONNECT_TIMEOUT_SECONDS
from runtime.queue import JOB_TIMEOUT, MAINTENANCE_LOCK_TTL, RETRY_IF_ABANDONED, STORE_DEFERRED_TIMEOUT
from runtime.redis.client import REDIS_TIMEOUT_SECONDS
from tests.faults.catalogue import BOTH, KILLED_WORKER, LOST_TRIGGER, Fault
from tests.faults.verdict import Verdict
from worker.maintenance.sweeper import OVERDUE_AFTER
from worker.outbox.claimed import BATCH, MAX_RECORDING_TIME
from worker.outbox.sender import MAX_SEND_TIME, MAX_UNRECORDED_TIME
from worker.pool import RESTART_DELAY
from worker.queue_worker import ABANDONED_AFTER, MAINTENANCE_INTERVAL, WORKER_TTL
from worker.scheduler import SCHEDULE

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
TEMPLATE = Path(__file__).parent / "reliability.template.md"
TABLE_HEAD = "|---|---|---|---|---|---|---|---|---|---|\n"
ROW = re.compile(r"\(`([a-z-]+)`\) \| (\w+) \|")


@dataclass(frozen=True)
class Row:
    """One trial, and its total duration in seconds."""

    name: str
    fault: Fault
    database: str
    verdict: Verdict
    seconds: float


def line(row: Row) -> str:
    """Return a line of progress."""
    verdict = row.verdict
    return (
        f"{row.name:18} {row.database:10} kept {verdict.answered:5} lost {verdict.lost:3} wrong {verdict.wrong:3} "
        f"missing {verdict.missing:3} twice {verdict.repeated:3} ({verdict.repeated_with_same_id}) recovered "
        f"{_recovered(verdict):>5} s slowest {verdict.slowest:4.1f} s 503s {verdict.refused:4} [{row.seconds:3.0f} s] "
        f"{_said(verdict)}"
    )


def write(rows: list[Row], skipped: list[str], deliveries: int, seed: int) -> None:
    """Write the page, with the numbers of this run and the settings of this version."""
    durations = dict(
        overdue=OVERDUE_AFTER,
        sweep=SCHEDULE["sweep"][0],
        lease=SEND_LEASE,
        wake=SCHEDULE["wake"][0],
        restart=RESTART_DELAY,
        maintenance=MAINTENANCE_INTERVAL,
        maintenance_lock=MAINTENANCE_LOCK_TTL,
        worker_ttl=WORKER_TTL,
        job_timeout=JOB_TIMEOUT,
        carry=STORE_DEFERRED_TIMEOUT,
        abandoned=ABANDONED_AFTER,
        settling=MAX_RECORDING_TIME,
        turn=MAX_SEND_TIME,
        statement=STATEMENT_TIMEOUT,
        backoff=INITIAL_BACKOFF,
        killed_worker=KILLED_WORKER,
        lost_trigger=LOST_TRIGGER,
        minutes=timedelta(seconds=sum(row.seconds for row in rows) / 60),
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(
        Template(TEMPLATE.read_text()).substitute(
            {name: f"{duration.total_seconds():.0f}" for name, duration in durations.items()},
            table="\n".join(map(_table_row, rows)),
            skipped="".join(f"\nNot tried here: {each}.\n" for each in skipped),
            deliveries=deliveries,
            seed=seed,
            connections=MAX_CONNECTIONS,
            claimed=BATCH,
            unsettled=f"{MAX_UNRECORDED_TIME / timedelta(milliseconds=1):.0f}",
            retries=RETRY_IF_ABANDONED.max,
            redis_timeout=REDIS_TIMEOUT_SECONDS,
            busy_timeout=SQLITE_BUSY_TIMEOUT_SECONDS,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )
    )


def update(rows: list[Row], order: list[str]) -> None:
    """Replace these rows of the page, or add them in the order of the catalogue; the rest stays as it is."""
    before, head, table = PAGE.read_text().partition(TABLE_HEAD)
    lines, rest = table.split("\n\n", 1)
    known = {(match[1], match[2]): line for line in lines.splitlines() if (match := ROW.search(line))}
    known |= {(row.name, row.database): _table_row(row) for row in rows}
    ordered = sorted(known, key=lambda key: (order.index(key[0]), BOTH.index(key[1])))
    PAGE.write_text(f"{before}{head}{chr(10).join(known[key] for key in ordered)}\n\n{rest}")


def _table_row(row: Row) -> str:
    verdict = row.verdict
    repeated = f"{verdict.repeated} ({verdict.repeated_with_same_id})" if verdict.repeated else "0"
    cells = (
        f"{row.fault.title} (`{row.name}`)",
        row.database,
        *(verdict.answered, verdict.lost, verdict.wrong, verdict.missing, repeated),
        f"{_recovered(verdict)} of {row.fault.within.total_seconds():.0f}",
        f"{verdict.slowest:.1f}",
        _said(verdict),
    )
    return f"| {' | '.join(map(str, cells))} |"


def _recovered(verdict: Verdict) -> str:
    return "never" if verdict.recovered is None else f"{verdict.recovered:.1f}"


def _said(verdict: Verdict) -> str:
    return "kept" if not verdict.broken else f"BROKEN: {'; '.join(verdict.broken)}"
