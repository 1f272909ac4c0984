"""Send bookings again: each once, as it is now, to the platform's endpoints alone, and done by the scheduler."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from console.__main__ import cli
from devtools.send import samples
from models.booking import Booking, BookingChange
from models.intervention import Intervention
from models.notification import Notification
from models.run import Run
from operations.runs.executor import advance_runs
from operations.runs.send_again import plan_bookings
from operations.runs.store import NewRun, start_run
from tests.worker.harness import AT, Harness, later, soon
from worker.channels.webhook import _body
from worker.outbox.planner import to_message

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    channels = "mailto:ops@example.com,https://platform.example/hook"
    mail = {"smtp_url": "smtp://127.0.0.1:1", "mail_from": "inbox@example.com"}
    return open_harness(notify_default=channels, notify_signing_secret="whsec_" + "c2VjcmV0" * 4, **mail)


def send_again(harness: Harness, **options: Any) -> Run:
    database, now = harness.services.database, datetime.now(UTC)
    with database.read_only() as session:
        plan = plan_bookings(session, harness.services.outbox.planner, LONG_AGO, None, now)
    with database.transaction() as session:
        run = start_run(session, NewRun("send_again", "bookings", "Ada", "lost", plan.to_run(), {}, **options), now)
    for turn in range(10):
        advance_runs(harness.services, now + timedelta(seconds=turn))
    with database.read_only() as session:
        return session.get_one(Run, run.id)


def sent_by(harness: Harness, run: Run) -> list[Notification]:
    return [row for row in harness.all(Notification) if row.created_at >= run.created_at]


def test_each_booking_is_sent_once_as_it_is_now_and_nobody_else_is_told(harness: Harness) -> None:
    harness.process(
        *(samples.created(f"b{number}", soon(number), AT) for number in range(3)),
        samples.rescheduled("b0", soon(60), later(5), soon(0)),
        samples.cancelled("b1", soon(1), later(5)),
    )
    before = {row.message_id for row in harness.all(Notification)}
    run = send_again(harness)
    rows = sent_by(harness, run)
    assert (run.status, run.position, run.changed, run.resent) == ("done", 3, 3, 3)
    assert [(row.booking_id, row.kind, row.channel, row.status, row.revision) for row in rows] == [
        ("b0", "created", "https", "pending", 2),
        ("b1", "cancelled", "https", "pending", 2),
        ("b2", "created", "https", "pending", 1),
    ]
    assert not before & {row.message_id for row in rows}, "otherwise the platform would drop them as repeats"
    assert '"before":null' in _body(to_message(rows[0]))
    again = send_again(harness)
    assert len(sent_by(harness, again)) == 3
    assert len(harness.changes()) == 5, "no booking has changed"


def test_bookings_that_are_over_are_sent_too(harness: Harness) -> None:
    harness.process(samples.created("b1", AT, AT))
    (row,) = sent_by(harness, send_again(harness))
    assert (row.status, row.is_meeting_over(datetime.now(UTC))) == ("pending", False)


def test_a_run_that_is_repeated_from_a_former_position_sends_nothing_twice(harness: Harness) -> None:
    harness.process(samples.created("b1", soon(0), AT))
    run = send_again(harness)
    with harness.services.database.transaction() as session:
        session.execute(update(Run).values(position=0, ended_at=None, status="running", due_at=run.due_at))
    advance_runs(harness.services, datetime.now(UTC))
    assert len(sent_by(harness, run)) == 1


def test_only_what_changed_since_is_selected_and_the_plan_counts_messages(harness: Harness) -> None:
    harness.process(samples.created("b1", soon(0), AT), samples.created("b2", soon(1), AT))
    with harness.services.database.transaction() as session:
        session.execute(update(BookingChange).where(BookingChange.booking_id == "b1").values(at=LONG_AGO))
    with harness.services.database.read_only() as session:
        planner, now = harness.services.outbox.planner, datetime.now(UTC)
        plan = plan_bookings(session, planner, LONG_AGO + timedelta(days=1), None, now)
        assert (list(plan.booking_ids), plan.previewed, plan.messages) == (["b2"], 1, 1)
        assert plan_bookings(session, planner, LONG_AGO, LONG_AGO + timedelta(days=1), now).booking_ids == ["b1"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_command_plans_asks_for_a_reason_and_starts_a_run(harness: Harness) -> None:
    harness.process(samples.created("b1", soon(0), AT))

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["bookings", "send-again", "--since", "1d", "--by", "Ada", *words])

    dry = run("--dry-run")
    assert "1 booking changed." in dry.output
    assert "1 message would be sent" in dry.output
    assert run("--yes").exit_code == 1, "no reason"
    assert harness.all(Run) == []
    done = run("--yes", "--reason", "the platform lost its data", "--rate", "5/s")
    assert done.exit_code == 0, done.output
    (started,) = harness.all(Run)
    assert (started.kind, started.target, started.total, started.per_hour) == ("send_again", "bookings", 1, 18_000)
    assert [act.kind for act in harness.all(Intervention)] == ["started"]
    assert (
        f"run {started.id}: send-again 1 booking" in CliRunner().invoke(cli, ["runs", "show", str(started.id)]).output
    )
    assert harness.all(Booking)


def test_only_the_hosts_of_the_bookings_own_account_are_told(harness: Harness) -> None:
    harness.add_account("acme")
    for account in ("default", "acme"):
        channels = [f"https://{account}.example/hook"]
        harness.add_user(external_id=account, account=account, meetergo_user_id=samples.HOST_ID, channels=channels)
        harness.process(samples.created("b1", soon(1), AT), account=account)
    rows = sent_by(harness, send_again(harness))
    assert {(row.booking_id, row.recipient) for row in rows} == {
        ("b1", "default.example"),
        ("acme:b1", "acme.example"),
    }
