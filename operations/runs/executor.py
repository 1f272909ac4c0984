"""The executor of runs: the scheduler calls `advance_runs` each second.

Each chunk is one transaction, which also advances the run's position. A process killed at any moment neither loses nor
repeats a chunk; if two schedulers process the same chunk, one of them rolls it back.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Integer, cast, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.account import DEFAULT
from models.delivery import Delivery
from models.intervention import Intervention, InterventionKind
from models.notification import Notification
from models.privacy.retention import prune
from models.run import Run, RunRow
from operations.erasure import COPIES, UNREACHED, GuestName, erase_guest
from operations.replay.selection import CHUNK_SIZE, SelectedDelivery
from operations.replay.service import Record, ReplayResult, ReplayService
from operations.runs.send_again import send_bookings
from operations.runs.store import reason_of
from runtime.contention import in_transaction
from runtime.encryption import EncryptedBody
from worker.services import Services

MAX_ADVANCE_TIME = timedelta(seconds=5)
"""How long one call processes runs that are due."""
SETTLE_INTERVAL = timedelta(seconds=1)
"""Pause between two counts of the final statuses of a run, for each 10,000 of its rows."""
MAX_SETTLE_TIME = timedelta(minutes=10)
"""After this the run ends even if some of its rows are pending: a failing row is retried for days."""

log = structlog.get_logger()


class RunMoved(Exception):
    """Another process has moved, cancelled or ended the run: this chunk is rolled back."""


def advance_runs(services: Services, now: datetime) -> int:
    """Process the chunks that are due.

    Returns:
        The number of chunks.

    Raises:
        SQLAlchemyError: the database does not answer; the run resumes from its position later.
    """
    deadline, chunks, moved = time.monotonic() + MAX_ADVANCE_TIME.total_seconds(), 0, list[int]()
    while chunks == 0 or time.monotonic() < deadline:
        now = max(now, services.inbox.clock())
        with services.database.read_only() as session:
            run = Run.due(session, now, moved)
        if run is None:
            break
        try:
            _advance(services, run, now)
        except RunMoved:
            moved.append(run.id)
        except SQLAlchemyError:
            raise
        except Exception as error:
            log.exception("run.failed", run=run.id, error=type(error).__name__)
            _end(services, run, now, status="failed", error=f"{type(error).__name__}, see the scheduler's log")
        chunks += 1
        services.database.yield_lock()
    return chunks


def _advance(services: Services, run: Run, now: datetime) -> None:
    if run.kind in STEPS:
        _do_step(services, run, now)
        return
    if run.position >= run.total:
        _settle(services, run, now)
        return
    with services.database.read_only() as session:
        rows = _chunk(session, run)
    following = run.position + len(rows)
    is_last = following >= run.total

    def record(session: Session, result: ReplayResult) -> None:
        values: dict[str, Any] = dict(
            position=following,
            changed=Run.changed + len(result.ids),
            resent=Run.resent + len(result.resent) + result.messages,
            skipped=Run.skipped + result.skipped,
            status="finishing" if is_last else "running",
            started_at=run.started_at or now,
            due_at=now if is_last else now + _pause(run, len(rows)),
        )
        if not run.advance(session, **values):
            raise RunMoved

    _apply(services, run, rows, now, record)
    log.info("run.advanced", run=run.id, position=following, total=run.total)


def _do_step(services: Services, run: Run, now: datetime) -> None:
    """Prune or erase. Both use their own transactions, and can be repeated from the start."""
    outcome = STEPS[run.kind](services, run, now)
    changed = sum(number for kind, number in outcome.items() if kind not in (*UNREACHED, *COPIES))
    values = dict(outcome=outcome, position=run.total, changed=changed, started_at=now, encrypted_guest=None)

    def end(session: Session) -> None:
        if not run.advance(session, status="done", ended_at=services.inbox.clock(), **values):
            raise RunMoved
        kind: InterventionKind = "pruned" if run.kind == "prune" else "erased"
        row = session.get_one(Run, run.id)  # an erasure has taken the guest out of its reason
        Intervention.record_act(session, kind, now, by=row.by, reason=reason_of(row), account=DEFAULT)

    in_transaction(services.database, end)
    log.info("run.ended", run=run.id, status="done")


def _prune(services: Services, _run: Run, now: datetime) -> dict[str, int]:
    return prune(services.database, now, services.retention)


def _erase(services: Services, run: Run, now: datetime) -> dict[str, int]:
    if run.encrypted_guest is None:
        raise ValueError("the run names no guest")
    cipher = services.inbox.cipher
    guest = GuestName(**json.loads(cipher.decrypt(EncryptedBody(run.encrypted_guest, run.encrypted_with))))
    return erase_guest(services.database, cipher, guest, services.job_queue.redis, now)


STEPS: dict[str, Callable[[Services, Run, datetime], dict[str, int]]] = {"prune": _prune, "erase": _erase}


def _chunk(session: Session, run: Run) -> Sequence[RunRow]:
    """Return the next rows: about one second's worth, with one booking's rows together."""
    size = CHUNK_SIZE if run.per_hour is None else max(1, min(CHUNK_SIZE, run.per_hour // 3600))
    rows = RunRow.following(session, run, size + CHUNK_SIZE)
    end = min(size, len(rows))
    while end < len(rows) and rows[end].booking_id and rows[end].booking_id == rows[end - 1].booking_id:
        end += 1
    return rows[:end]


def _pause(run: Run, rows: int) -> timedelta:
    return timedelta(hours=rows / run.per_hour) if run.per_hour else timedelta(0)


def _apply(services: Services, run: Run, rows: Sequence[RunRow], now: datetime, record: Record) -> None:
    service = ReplayService(services, run.by, reason_of(run), run.resend, run.superseded)
    if run.kind == "send_again":
        _send_again(services, run, [row.booking_id for row in rows], now, record)
    elif run.kind == "ignore":
        is_delivery = run.target == "deliveries"
        ended = {row.row_id if is_delivery else int(row.row_id): row.ended_at for row in rows}
        service.ignore_unchanged(ended, Delivery if is_delivery else Notification, now, record)
    elif run.target == "deliveries":
        service.replay([_selected(row, run.created_at) for row in rows], now, record)
    else:
        service.replay_notifications([int(row.row_id) for row in rows], now, record)


def _send_again(services: Services, run: Run, ids: Sequence[str], now: datetime, record: Record) -> None:
    def send(session: Session) -> int:
        found, messages = send_bookings(session, services.outbox.planner, ids, run.id, now)
        record(session, ReplayResult(ids[:found], skipped=len(ids) - found, messages=messages))
        return messages

    if in_transaction(services.database, send):
        services.job_queue.trigger_drain("outbox")


def _selected(row: RunRow, at: datetime) -> SelectedDelivery:
    """Return the delivery as it was selected. `done` also stands for dead: `ended_at` shows whether it has changed."""
    return SelectedDelivery(
        row.row_id, None, row.booking_id, at, "done" if row.ended_at else "pending", row.ended_at, is_erased=False
    )


def _settle(services: Services, run: Run, now: datetime) -> None:
    """Count the rows by status; end the run when none is pending."""
    if run.kind == "send_again":  # its notifications are sent independently of the run
        _end(services, run, now, status="done")
        return
    with services.database.read_only() as session:
        outcome = final_statuses(session, run)
    is_late = now - (run.started_at or now) > _longest(run)
    if run.kind == "ignore" or not outcome.get("pending") or is_late:
        _end(services, run, now, status="done", outcome=outcome)
        return
    pause = SETTLE_INTERVAL * max(1.0, run.total / 10_000)
    in_transaction(services.database, lambda session: run.advance(session, outcome=outcome, due_at=now + pause))


def _longest(run: Run) -> timedelta:
    """Return how long after its start a run may still wait for its rows."""
    return MAX_SETTLE_TIME + _pause(run, run.total)


def _end(services: Services, run: Run, now: datetime, **values: Any) -> None:
    in_transaction(
        services.database, lambda session: run.advance(session, ended_at=now, encrypted_guest=None, **values)
    )
    log.info("run.ended", run=run.id, status=values["status"])


def final_statuses(session: Session, run: Run) -> dict[str, int]:
    """Count a run's rows by status; `pruned` ones no longer exist."""
    rows: Any = Delivery if run.target == "deliveries" else Notification
    key: Any = RunRow.row_id if run.target == "deliveries" else cast(RunRow.row_id, Integer)
    query = (
        select(func.coalesce(rows.status, "pruned"), func.count())
        .select_from(RunRow)
        .outerjoin(rows, rows.id == key)
        .where(RunRow.run_id == run.id, RunRow.position < run.position)
        .group_by(rows.status)
    )
    return {status: number for status, number in session.execute(query)}  # noqa: C416 - dict() has no types for rows
