"""Runs: done in chunks by the scheduler, exactly once, whichever process is killed; they obey rate and cancel."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from sqlalchemy.orm import Session

from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.run import Run, RunRow
from operations.erasure import GuestName
from operations.errors import OperationError
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from operations.runs import executor, notification_plan, plan, send_again, store
from operations.runs.executor import advance_runs
from operations.runs.notification_plan import plan_notifications
from operations.runs.plan import make_plan
from operations.runs.send_again import plan_bookings
from operations.runs.store import NewRun, SelectedRow, cancel_run, start_erasure, start_run
from runtime.encryption import BodyCipher
from tests.worker.harness import AT, Harness, soon

BODY_KEY = Fernet.generate_key().decode()


def die(harness: Harness, number: int) -> None:
    """Make deliveries of bookings that are dead, as after a hook that failed for long."""
    ids = harness.deliver(*(samples.created(f"b{each:03d}", soon(each), AT) for each in range(number)))
    with harness.services.database.transaction() as session:
        for row in Delivery.get_for_update(session, ids):
            row.status, row.attempts, row.ended_at, row.last_error = "dead", 24, datetime.now(UTC), "KeyError in hook"
            row.event, row.booking_id = "booking_created", f"b{ids.index(row.id):03d}"


def start(harness: Harness, **options: Any) -> Run:
    database = harness.services.database
    chosen = select_deliveries(harness.services.inbox, select(Delivery).where(Delivery.status == "dead")).chosen
    rows = [SelectedRow(row.id, row.booking_id, row.ended_at) for row in chosen]
    new = dict(kind="replay", target="deliveries", by="Ada", reason="hook repaired", rows=rows, selection={})
    with database.transaction() as session:
        return start_run(session, NewRun(**new | options), datetime.now(UTC))  # type: ignore[arg-type]


def finish(harness: Harness, run: Run) -> Run:
    """Let scheduler and workers take turns until the run has ended."""
    now = datetime.now(UTC)
    for turn in range(50):
        advance_runs(harness.services, now + timedelta(seconds=5 * turn))
        harness.process_due()
        found = load(harness, run)
        if found.ended_at:
            return found
    raise AssertionError(found.status)


def load(harness: Harness, run: Run) -> Run:
    with harness.services.database.read_only() as session:
        return session.get_one(Run, run.id)


def statuses(harness: Harness) -> list[str]:
    return [row.status for row in harness.all(Delivery)]


def test_a_run_replays_its_rows_and_tells_what_became_of_them(harness: Harness) -> None:
    die(harness, 12)
    run = finish(harness, start(harness))
    assert (run.status, run.position, run.changed, run.skipped) == ("done", 12, 12, 0)
    assert run.outcome == {"done": 12}
    assert statuses(harness) == ["done"] * 12
    acts = harness.all(Intervention)
    assert {(act.by, act.reason) for act in acts if act.kind == "replayed"} == {
        ("Ada", f"hook repaired (run {run.id})")
    }
    assert [act.kind for act in acts].count("replayed") == 12
    assert [act.reason for act in acts if act.kind == "started"] == [
        f"run {run.id}: replay 12 deliveries: hook repaired"
    ]


def test_a_kill_at_any_moment_repeats_and_loses_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies before or after a chunk's commit; another scheduler goes on."""
    monkeypatch.setattr(executor, "CHUNK_SIZE", 5)
    die(harness, 12)
    run = start(harness, resend=True)
    replay, calls = ReplayService.replay, []

    class Killed(BaseException):
        pass

    def replay_and_die(self: ReplayService, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise Killed
        result = replay(self, *args)
        if len(calls) in (2, 4):
            raise Killed
        return result

    monkeypatch.setattr(ReplayService, "replay", replay_and_die)
    for _ in range(3):
        with pytest.raises(Killed):
            advance_runs(harness.services, datetime.now(UTC))
    ended = finish(harness, run)
    assert (ended.status, ended.changed, ended.skipped) == ("done", 12, 0)
    assert sum(act.kind == "replayed" for act in harness.all(Intervention)) == 12


def test_of_two_schedulers_at_the_same_chunk_one_is_rolled_back(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    die(harness, 3)
    run = start(harness)
    chunk = executor._chunk

    def other_first(*args: Any) -> Any:
        rows = chunk(*args)
        monkeypatch.setattr(executor, "_chunk", chunk)
        assert advance_runs(harness.services, datetime.now(UTC))
        return rows

    monkeypatch.setattr(executor, "_chunk", other_first)
    advance_runs(harness.services, datetime.now(UTC))
    ended = finish(harness, run)
    assert (ended.changed, ended.skipped) == (3, 0)
    assert sum(act.kind == "replayed" for act in harness.all(Intervention)) == 3


def test_a_run_keeps_its_rate(harness: Harness) -> None:
    die(harness, 10)
    run = start(harness, per_second=2.0)
    now = datetime.now(UTC)
    positions = []
    for seconds in range(7):
        advance_runs(harness.services, now + timedelta(seconds=seconds, milliseconds=50 * seconds))
        positions.append(load(harness, run).position)
    assert positions == [2, 4, 6, 8, 10, 10, 10]


def test_a_slow_run_does_not_hold_up_another(harness: Harness) -> None:
    die(harness, 4)
    slow = start(harness, per_second=1 / 3600)
    advance_runs(harness.services, datetime.now(UTC))
    fast = start(harness)
    advance_runs(harness.services, datetime.now(UTC))
    assert load(harness, slow).position == 1
    assert load(harness, fast).position == load(harness, fast).total


def test_a_cancelled_run_handles_nothing_more(harness: Harness) -> None:
    die(harness, 6)
    run = start(harness, per_second=2.0)
    advance_runs(harness.services, datetime.now(UTC))
    with harness.services.database.transaction() as session:
        cancel_run(session, run.id, "Bruno", datetime.now(UTC))
    advance_runs(harness.services, datetime.now(UTC) + timedelta(hours=1))
    ended = load(harness, run)
    assert (ended.status, ended.cancelled_by, ended.position) == ("cancelled", "Bruno", 2)
    assert statuses(harness).count("dead") == 4
    with harness.services.database.transaction() as session, pytest.raises(OperationError, match="has ended"):
        cancel_run(session, run.id, "Bruno", datetime.now(UTC))
    assert [act.by for act in harness.all(Intervention) if act.kind == "cancelled"] == ["Bruno"]


def test_a_cancel_rolls_back_the_chunk_in_progress(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    die(harness, 3)
    run = start(harness)
    chunk = executor._chunk

    def cancelled_meanwhile(*args: Any) -> Any:
        rows = chunk(*args)
        with harness.services.database.transaction() as session:
            cancel_run(session, run.id, "Ada", datetime.now(UTC))
        return rows

    monkeypatch.setattr(executor, "_chunk", cancelled_meanwhile)
    advance_runs(harness.services, datetime.now(UTC))
    assert statuses(harness) == ["dead"] * 3
    assert load(harness, run).position == 0


def test_a_row_that_was_handled_meanwhile_is_left_alone(harness: Harness) -> None:
    die(harness, 3)
    run = start(harness)
    with harness.services.database.transaction() as session:
        row = session.scalars(select(Delivery).limit(1).with_for_update()).one()
        row.ignore("by somebody else", datetime.now(UTC))
    ended = finish(harness, run)
    assert (ended.changed, ended.skipped) == (2, 1)


def test_one_bookings_deliveries_are_replayed_together(harness: Harness) -> None:
    die(harness, 4)
    with harness.services.database.transaction() as session:
        for row in session.scalars(select(Delivery).with_for_update()):
            row.booking_id = "b000"
    run = start(harness, per_second=1.0)
    advance_runs(harness.services, datetime.now(UTC))
    assert load(harness, run).position == 4


def test_a_run_ignores_dead_deliveries(harness: Harness) -> None:
    die(harness, 3)
    run = finish(harness, start(harness, kind="ignore", reason="a test of theirs"))
    assert (run.status, run.changed, run.outcome) == ("done", 3, {"done": 3})
    assert {row.note for row in harness.all(Delivery)} == {f"ignored: a test of theirs (run {run.id})"}


def test_a_run_sends_notifications_again(harness: Harness) -> None:
    harness.add_user(external_id="1", meetergo_user_id=samples.HOST_ID)
    harness.process(samples.created("b1", soon(0), AT))
    harness.send_all()
    [sent] = harness.all(Notification)
    rows = [SelectedRow(str(sent.id), sent.booking_id, sent.ended_at)]
    run = start(harness, target="notifications", rows=rows, resend=True)
    advance_runs(harness.services, datetime.now(UTC))
    harness.send_all()
    ended = finish(harness, run)
    assert (ended.changed, ended.outcome) == (1, {"done": 1})
    assert [row.status for row in harness.all(Notification)] == ["done", "done"]


def test_a_run_that_cannot_be_done_says_why_and_holds_up_no_other(harness: Harness) -> None:
    die(harness, 1)
    database, guest, cipher = harness.services.database, GuestName(email="jane@example.com"), BodyCipher([BODY_KEY])
    with database.transaction() as session:  # with a key that the scheduler does not have
        erasing = start_erasure(session, guest, cipher, "Ada", "she asked", datetime.now(UTC))
    replaying = start(harness)
    assert (finish(harness, erasing).status, finish(harness, replaying).status) == ("failed", "done")
    assert "see the scheduler's log" in str(load(harness, erasing).error)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reason": " ", "rows": [SelectedRow("0" * 64, "b1", None)]}, "reason"), ({"rows": []}, "nothing")],
    ids=["no reason", "no row"],
)
def test_a_run_needs_a_reason_and_rows(harness: Harness, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OperationError, match=message):
        start(harness, **options)
    assert harness.all(Run) == []


def test_what_is_more_than_a_run_takes_is_neither_planned_nor_started(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, notification_plan, send_again, store):
        monkeypatch.setattr(module, "MAX_RUN_ROWS", 2)
    harness.add_user(external_id="1", meetergo_user_id=samples.HOST_ID)
    services, now = harness.services, datetime.now(UTC)
    planning: list[Callable[[Session], object]] = [
        lambda _session: make_plan(services, select(Delivery), "replay", "Ada"),
        lambda session: plan_notifications(session, select(Notification), "replay"),
        lambda session: plan_bookings(session, services.outbox.planner, AT, None, now),
    ]
    harness.process(samples.created("b1", soon(0), AT), samples.created("b2", soon(1), AT))
    for make in planning:
        with services.database.read_only() as session:
            make(session)
    harness.process(samples.created("b3", soon(2), AT))
    for make in planning:
        with services.database.read_only() as session, pytest.raises(OperationError, match="more than 2"):
            make(session)
    die(harness, 3)
    with pytest.raises(OperationError, match="at most 2 rows"):
        start(harness)
    assert harness.all(Run) == []


def test_the_rows_of_a_run_go_with_it(harness: Harness) -> None:
    die(harness, 2)
    run = start(harness)
    with harness.services.database.transaction() as session:
        session.delete(session.get_one(Run, run.id))
        session.flush()
        assert session.scalars(select(RunRow)).all() == []


def test_a_plan_changes_nothing_and_its_digest_tells_whether_the_set_has(harness: Harness) -> None:
    die(harness, 3)
    query = select(Delivery).where(Delivery.status == "dead")
    plan = make_plan(harness.services, query, "replay", "Ada")
    assert len(plan.report.booking_diffs) == 3
    assert statuses(harness) == ["dead"] * 3
    assert make_plan(harness.services, query, "replay", "Ada", preview=False).digest == plan.digest
    with harness.services.database.transaction() as session:
        session.scalars(select(Delivery).limit(1).with_for_update()).one().ended_at = datetime(2024, 1, 1, tzinfo=UTC)
    assert make_plan(harness.services, query, "replay", "Ada").digest != plan.digest


def test_a_plan_leaves_out_what_would_fail_again(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness()
    die(harness, 2)
    harness.process(b"not json")
    plan = make_plan(harness.services, select(Delivery).where(Delivery.status == "dead"), "replay", "Ada")
    assert [outcome.error for outcome in plan.failing] == ["the body is not JSON"]
    assert len(plan.to_run(without_failing=True)) == 2
    assert len(plan.to_run(without_failing=False)) == 3
