"""Start, list and cancel runs."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from models.account import DEFAULT
from models.intervention import Intervention
from models.run import Run, RunKind, RunRow, RunTarget
from operations.erasure import GuestName
from operations.errors import OperationError
from operations.text import count
from runtime.encryption import BodyCipher

MAX_RUN_ROWS = 100_000
"""Maximum number of rows of one run: they are all inserted in one transaction."""
MAX_REASON_LENGTH = 1000
RUN_IN_REASON = re.compile(r"run (\d{1,9})(?:: |\Z)|(?P<before>.*) \(run (?P<after>\d{1,9})\)\Z", re.DOTALL)


@dataclass(frozen=True)
class SelectedRow:
    """One row of a run to start.

    Attributes:
        id: its id, as text.
        booking_id: its booking; empty if unknown.
        ended_at: its `ended_at` when it was selected; None if it was pending.
    """

    id: str
    booking_id: str
    ended_at: datetime | None


@dataclass(frozen=True)
class NewRun:
    """A run to start.

    Attributes:
        kind: what to do with the rows.
        target: the kind of rows.
        by: the operator's name.
        reason: why.
        rows: the rows, one booking's together and in order; empty if it is done in one step.
        selection: how they were selected, without personal data.
        resend: whether to send notifications again that were sent.
        superseded: whether to send superseded notifications too.
        per_second: maximum rows per second; None for no limit.
    """

    kind: RunKind
    target: RunTarget
    by: str
    reason: str
    rows: Sequence[SelectedRow] = ()
    selection: dict[str, Any] = field(default_factory=dict)
    resend: bool = False
    superseded: bool = False
    per_second: float | None = None


def digest_of(kind: RunKind, rows: Iterable[Any]) -> str:
    """Return what identifies a set of rows and their states, to notice that it has changed since it was shown."""
    states = (f"{row.id} {row.status} {row.ended_at and row.ended_at.isoformat()}" for row in rows)
    return sha256("\n".join([kind, *sorted(states)]).encode()).hexdigest()


def start_run(session: Session, new: NewRun, now: datetime) -> Run:
    """Start a run. The scheduler executes it.

    Raises:
        OperationError: there is no reason, no row, or there are too many.
    """
    if not new.rows:
        raise OperationError("there is nothing to do: no row is selected")
    if len(new.rows) > MAX_RUN_ROWS:
        raise OperationError(f"a run takes at most {MAX_RUN_ROWS} rows: narrow the filters")
    run = _start(session, new, now)
    RunRow.insert_all(
        session,
        [
            dict(run_id=run.id, position=position, row_id=row.id, booking_id=row.booking_id, ended_at=row.ended_at)
            for position, row in enumerate(new.rows)
        ],
    )
    return run


def start_prune(session: Session, by: str, reason: str, now: datetime) -> Run:
    """Start a run that deletes rows past their retention.

    Raises:
        OperationError: there is no reason.
    """
    return _start(session, NewRun("prune", "old rows", by, reason), now)


def start_erasure(session: Session, guest: GuestName, cipher: BodyCipher, by: str, reason: str, now: datetime) -> Run:
    """Start a run that erases a guest. Until it ends, the run holds the guest's identity, encrypted with BODY_KEYS.

    Raises:
        OperationError: there is no reason.
    """
    run = _start(session, NewRun("erase", "a guest", by, reason), now)
    encrypted = cipher.encrypt(json.dumps(asdict(guest)).encode())
    run.encrypted_guest, run.encrypted_with = encrypted.content, encrypted.key
    return run


def _start(session: Session, new: NewRun, now: datetime) -> Run:
    """Insert a run, and record who started it. One that is done in one step counts as one row."""
    reason = new.reason.strip()
    if not reason:
        raise OperationError("a run needs a reason: it is recorded with your name")
    run = Run(
        kind=new.kind,
        target=new.target,
        status="waiting",
        by=new.by[:255],
        reason=reason[:MAX_REASON_LENGTH],
        selection=new.selection,
        resend=new.resend,
        superseded=new.superseded,
        per_hour=max(1, round(new.per_second * 3600)) if new.per_second else None,
        total=len(new.rows) or 1,
        created_at=now,
        due_at=now,
    )
    session.add(run)
    session.flush()
    what = count(run.total, *NOUNS[run.target]) if new.rows else run.target
    started = f"run {run.id}: {run.kind} {what}: {reason}"
    Intervention.record_act(session, "started", now, by=run.by, reason=started, account=DEFAULT)
    return run


def reason_of(run: Run) -> str:
    """Return the reason recorded with each of a run's interventions."""
    return f"{run.reason} (run {run.id})"


def split_reason(reason: str) -> tuple[int | None, str]:
    """Split an intervention's reason into the number of the run that it names, if any, and the rest."""
    found = RUN_IN_REASON.match(reason)
    if found is None:
        return None, reason
    return int(found[1] or found["after"]), found["before"] if found["after"] else reason[found.end() :]


def cancel_run(session: Session, run_id: int, by: str, now: datetime) -> Run:
    """Cancel a run. What it has done is not undone.

    Raises:
        OperationError: there is no such run, or it has ended.
    """
    run = find_run(session, run_id)
    if not Run.cancel(session, run_id, by, now):
        raise OperationError(f"run {run_id} has ended: it is {run.status}")
    Intervention.record_act(session, "cancelled", now, by=by, reason=f"run {run_id}", account=DEFAULT)
    session.refresh(run)
    return run


def find_run(session: Session, run_id: int) -> Run:
    """Return a run.

    Raises:
        OperationError: there is none with this number.
    """
    run = session.get(Run, run_id) if 0 < run_id < 2**31 else None
    if run is None:
        raise OperationError(f"there is no run {run_id}: `runs list` shows all")
    return run


NOUNS: dict[RunTarget, tuple[str, str]] = {
    "deliveries": ("delivery", "deliveries"),
    "notifications": ("notification", "notifications"),
    "old rows": ("pass over old rows", "passes over old rows"),
    "a guest": ("guest", "guests"),
    "bookings": ("booking", "bookings"),
}
