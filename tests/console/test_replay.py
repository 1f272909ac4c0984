"""`replay`: previewed, confirmed, done once, stopped cleanly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import Result
from redis import Redis
from sqlalchemy import Engine, event, func, select, update
from sqlalchemy.orm import Session

from console.commands.deliveries.replay import replay
from devtools.processes import environment
from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from runtime.errors import Permanent
from runtime.queue import JobQueue
from runtime.redis.client import connect
from tests.console.cli import ON_SQLITE
from tests.snapshot import snapshot, snapshot_rows
from tests.worker.harness import AT, START, Harness, later, soon

CREATED = samples.created("b1", START, AT)
BROKEN: dict[str, bool | str] = {"hook": True}
Invoke = Callable[..., Result]


def bad_hook(session: Session, booking: Booking, change: BookingChange) -> None:
    if BROKEN["hook"] == "for now":
        raise KeyError(booking.id)
    if BROKEN["hook"]:
        raise Permanent("the hook is broken")


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    BROKEN["hook"] = True
    return open_harness(platform_hook=f"{__name__}:bad_hook")


def said(result: Result) -> str:
    return " ".join(result.output.split())


def die(harness: Harness, *bodies: dict[str, Any] | bytes) -> list[str]:
    """Deliveries that died of a bad hook, which is repaired now."""
    BROKEN["hook"] = True
    ids = harness.deliver(*(bodies or (CREATED,)))
    harness.process_due()
    BROKEN["hook"] = False
    return ids


@ON_SQLITE
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say which"),
        (["--yes"], "say which"),
        (["--limit", "5", "--yes"], "say which"),
        (["abcd", "--dead"], "not both"),
        (["abcd", "--booking", "b1"], "not both"),
        (["--dead", "--status", "done"], "exclude each other"),
        (["--dead", "--json"], "--json cannot ask"),
        (["--dead", "--rate", "fast"], "write 50/s"),
        (["--dead", "--rate", "0/s"], "write 50/s"),
        (["--dead", "--limit", "0"], "--limit"),
    ],
)
def test_an_ambiguous_selection_is_rejected(harness: Harness, invoke: Invoke, words: list[str], sentence: str) -> None:
    die(harness)
    before = snapshot_rows(harness.services.database)
    result = invoke(replay, *words)
    assert (result.exit_code, sentence in said(result)) == (2, True)
    assert snapshot_rows(harness.services.database) == before


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [("abc", "at least 4 characters"), ("abcd", "there is no delivery whose id"), ("0000", "write more of the id")],
)
def test_an_unknown_or_ambiguous_id_is_rejected(harness: Harness, invoke: Invoke, typed: str, sentence: str) -> None:
    die(harness)
    with harness.services.database.transaction() as session:
        (row,) = session.scalars(select(Delivery))
        for number in (1, 2):
            columns = {name: getattr(row, name) for name in ("account", "source", "body", "received_at", "due_at")}
            session.add(Delivery(id=f"{number:064d}", status="dead", attempts=1, **columns))
    result = invoke(replay, typed, "--yes")
    assert (result.exit_code, sentence in said(result)) == (1, True)
    assert harness.all(Intervention) == []


def test_a_dry_run_shows_the_effect_and_changes_nothing(harness: Harness, invoke: Invoke, redis: Redis) -> None:
    die(harness, CREATED, b"not json")
    before = snapshot(harness.services.database, redis)
    result = invoke(replay, "--dead", "--dry-run", "--notify")
    assert result.exit_code == 0
    assert snapshot(harness.services.database, redis) == before
    for words in (
        "b1 (new)",
        "starts_at 2124-01-15 08:00",
        "attendees Guest 1 guest-1@example.com",
        "notifies created: log",
        "If 2 deliveries are replayed now",
        "1 done, and a booking changes",
        "1 dead again: the body is not JSON",
        "1 notification 'created' by log",
        "This was a dry run: nothing is changed.",
    ):
        assert words in said(result)


def test_a_dry_run_opens_the_database_once(harness: Harness, invoke: Invoke) -> None:
    pools: set[Any] = set()

    def record(connection: Any, *_more: Any) -> None:
        pools.add(connection.engine.pool)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        assert invoke(replay, "--dead", "--dry-run").exit_code == 0
    finally:
        event.remove(Engine, "before_cursor_execute", record)
    assert len(pools) == 1


@ON_SQLITE
def test_without_a_terminal_it_says_how_to_confirm(harness: Harness, invoke: Invoke) -> None:
    die(harness)
    before = snapshot_rows(harness.services.database)
    result = invoke(replay, "--dead", "--reason", "repaired")
    assert (result.exit_code, "Nothing was done" in said(result), "pass --yes" in said(result)) == (1, True, True)
    assert snapshot_rows(harness.services.database) == before


@ON_SQLITE
def test_it_asks_and_no_changes_nothing(harness: Harness, invoke: Invoke, redis: Redis) -> None:
    die(harness)
    before = snapshot(harness.services.database, redis)
    result = invoke(replay, "--dead", answers="n\n")
    assert (result.exit_code, "Replay 1 delivery?" in said(result)) == (1, True)
    assert snapshot(harness.services.database, redis) == before


def test_a_replay_by_prefix_records_operator_and_reason(harness: Harness, invoke: Invoke) -> None:
    (delivery_id,) = die(harness)
    result = invoke(replay, delivery_id[:6].upper(), delivery_id, "--reason", "the hook is repaired", answers="y\n")
    assert result.exit_code == 0
    assert "1 delivery replayed" in said(result)
    assert "no worker runs for the inbox" in said(result)
    (act,) = harness.all(Intervention)
    assert (act.kind, act.delivery_id, act.by, act.reason) == (
        "replayed",
        delivery_id,
        "the-operator",
        "the hook is repaired",
    )
    inbox = harness.services.job_queue.queue("inbox")
    assert inbox.count == 1
    harness.process_due()
    assert harness.booking().status == "confirmed"


def test_a_booking_is_named_by_the_beginning_of_its_id_as_lists_show_it(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = False
    for booking in ("0198c9a1-5f6e-7cc3-b7b6-111111111111", "0198c9a2-5f6e-7cc3-b7b6-222222222222"):
        harness.process(samples.created(booking, START, AT))
    assert "If 1 delivery is replayed" in said(invoke(replay, "--booking", "0198c9a1-5f6", "--dry-run"))


@ON_SQLITE
def test_moved_bookings_are_shown_before_and_after(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = False
    harness.process(CREATED)
    die(harness, samples.rescheduled("b1", soon(60 * 24), later(1), START))
    result = invoke(replay, "--booking", "b1", "--status", "dead", "--dry-run")
    assert "starts_at 2124-01-15 08:00:00 -> 2124-01-16 08:00:00" in said(result)
    assert "meeting_name" not in said(result)


def test_a_failing_delivery_is_retried_now_and_keeps_its_attempts(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = "for now"
    harness.deliver(CREATED, samples.created("b2", START, AT))
    harness.process_due()
    for number in range(4):
        with harness.services.database.transaction() as session:
            session.execute(update(Delivery).values(due_at=AT))
        harness.process_due()
        assert [row.attempts for row in harness.all(Delivery)] == [number + 2] * 2
    BROKEN["hook"] = False
    dry = invoke(replay, "--status", "pending", "--dry-run")
    assert "2 done, and a booking changes" in said(dry)
    result = invoke(replay, "--status", "pending", "--yes", "--reason", "the hook is repaired")
    assert "2 deliveries replayed" in said(result)
    assert [(row.status, row.attempts) for row in harness.all(Delivery)] == [("pending", 5)] * 2
    assert [(act.kind, act.by) for act in harness.all(Intervention)] == [("replayed", "the-operator")] * 2
    harness.process_due()
    assert {row.status for row in harness.all(Delivery)} == {"done"}


def test_a_delivery_stranded_by_a_wrong_clock_is_retried_now(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = False
    (delivery_id,) = harness.deliver(CREATED)
    with harness.services.database.transaction() as session:
        row = session.get_one(Delivery, delivery_id)
        row.received_at = row.due_at = row.due_at + timedelta(days=1)
    result = invoke(replay, "--status", "pending", "--yes")
    assert "1 delivery replayed" in said(result)
    assert harness.services.job_queue.queue("inbox").count == 1
    harness.process_due()
    assert harness.booking().status == "confirmed"


def test_two_operators_who_retry_the_same_delivery_retry_it_once(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = "for now"
    harness.process(CREATED)
    for sentence in ("1 delivery replayed", "There is nothing to replay"):
        assert sentence in said(invoke(replay, "--status", "pending", "--yes"))
    assert len(harness.all(Intervention)) == 1


def test_a_retry_that_comes_before_the_operator_is_not_called_another_operator(
    harness: Harness, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    BROKEN["hook"] = "for now"
    harness.process(CREATED)
    BROKEN["hook"] = False

    def confirm_after_the_retry(question: str) -> None:
        with harness.services.database.transaction() as session:
            session.execute(update(Delivery).values(due_at=Delivery.received_at))
        harness.process_due()

    monkeypatch.setattr("console.commands.deliveries.replay.confirm_or_exit", confirm_after_the_retry)
    assert "1 delivery left alone: changed meanwhile." in said(invoke(replay, "--status", "pending"))


def test_pending_deliveries_are_left_alone_and_erased_ones_omitted(harness: Harness, invoke: Invoke) -> None:
    die(harness, CREATED, b"erased")
    harness.deliver(b"waits")
    with harness.services.database.transaction() as session:
        row = session.scalars(select(Delivery).where(Delivery.booking_id.is_(None), Delivery.status == "dead")).one()
        row.body = b""
    result = invoke(replay, "--since", "1h", "--yes")
    assert "1 delivery left alone: pending" in said(result)
    assert "1 delivery left out: the body was erased" in said(result)
    assert [act.booking_id for act in harness.all(Intervention)] == ["b1"]


@ON_SQLITE
def test_without_dead_deliveries_there_is_nothing_to_do(harness: Harness, invoke: Invoke) -> None:
    result = invoke(replay, "--dead", "--yes")
    assert (result.exit_code, said(result)) == (0, "There is nothing to replay.")


def test_a_limit_takes_the_oldest(harness: Harness, invoke: Invoke) -> None:
    ids = die(harness, *(samples.created(f"b{number}", START, AT) for number in range(3)))
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, ids[2]).received_at = AT
    invoke(replay, "--dead", "--limit", "1", "--yes")
    assert [act.delivery_id for act in harness.all(Intervention)] == [ids[2]]


@ON_SQLITE
def test_json_output_is_complete_and_pure(harness: Harness, invoke: Invoke) -> None:
    ids = die(harness, *(samples.created(f"b{number}", START, AT) for number in range(12)))
    result = invoke(replay, "--dead", "--json", "--yes")
    output = json.loads(result.stdout)
    assert {row["id"] for row in output["deliveries"]} == set(output["replayed"]) == set(ids)
    assert [row["booking_id"] for row in output["bookings"]] == sorted(f"b{number}" for number in range(12))
    assert output["bookings"][0]["before"]["status"] is None
    assert output["bookings"][0]["after"]["starts_at"] == START.isoformat()
    assert len(output["notifications"]) == 12
    assert (output["waiting"], output["erased"], output["left_alone"], output["interrupted"]) == (0, 0, 0, False)


@ON_SQLITE
def test_many_bookings_are_summarized(harness: Harness, invoke: Invoke) -> None:
    die(harness, *(samples.created(f"b{number:02d}", START, AT) for number in range(14)))
    result = said(invoke(replay, "--dead", "--dry-run"))
    assert "b09 new confirmed, 2124-01-15 08:00, Discovery Call created ... and 4 more" in result
    assert "b10" not in result
    assert "and 4 more bookings: --json shows all" in result


@ON_SQLITE
def test_many_existing_bookings_are_shown_in_one_line_each(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = False
    harness.process(*(samples.created(f"b{number}", START, AT) for number in range(4)))
    die(harness, *(samples.rescheduled(f"b{number}", soon(60), later(1), START) for number in range(4)))
    result = said(invoke(replay, "--dead", "--dry-run"))
    assert "b3 starts_at: 2124-01-15 08:00:00 -> 2124-01-15 09:00:00 rescheduled If 4" in result


@ON_SQLITE
def test_untrusted_text_cannot_control_the_terminal(harness: Harness, invoke: Invoke) -> None:
    guest = {"id": "g", "fullname": "\x1b[2J[red]:bomb:", "email": "y"}
    die(harness, samples.created("b1", START, AT, attendees=[guest]))
    result = invoke(replay, "--dead", "--dry-run")
    assert "\x1b" not in result.output
    assert "[2J[red]:bomb: y" in result.output


def test_notify_lists_who_is_notified_again_and_does_it(harness: Harness, invoke: Invoke) -> None:
    BROKEN["hook"] = False
    harness.process(CREATED)
    harness.send_all()
    result = invoke(replay, "--booking", "b1", "--notify", "--yes")
    assert "notifies created: log (once more)" in said(result)
    assert "1 notification to go out once more" in said(result)
    harness.process_due()
    assert [row.status for row in harness.all(Notification)] == ["done", "pending"]
    assert [act.kind for act in harness.all(Intervention)] == ["replayed", "sent_again"]


def test_wait_reports_the_final_statuses(harness: Harness, invoke: Invoke) -> None:
    die(harness, CREATED, b"not json")

    def work() -> None:
        while len(harness.all(Intervention)) < 2 or any(row.status == "pending" for row in harness.all(Delivery)):
            harness.process_due()

    worker = Thread(target=work)
    worker.start()
    result = invoke(replay, "--dead", "--yes", "--wait")
    worker.join()
    assert "1 done, 1 dead" in said(result)
    assert result.exit_code == 1


@ON_SQLITE
def test_it_works_while_redis_is_down(harness: Harness, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    (delivery_id,) = die(harness)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    result = invoke(replay, delivery_id, "--yes")
    assert result.exit_code == 0
    assert "Redis does not answer" in said(result)
    assert [row.status for row in harness.all(Delivery)] == ["pending"]


@ON_SQLITE
def test_a_database_that_is_down_gives_an_error_message(
    harness: Harness, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    result = invoke(replay, "--dead", "--yes")
    assert result.exit_code == 1
    assert "the database does not answer" in said(result)


@ON_SQLITE
def test_ctrl_c_stops_between_chunks_and_the_same_command_does_the_rest(
    harness: Harness, tmp_path: Path, invoke: Invoke
) -> None:
    ids = die(harness, *(samples.created(f"b{number:02d}", START, AT) for number in range(60)))
    settings = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    words = ["replay", "--dead", "--yes", "--rate", "10/s"]
    process = subprocess.Popen(
        [sys.executable, "-m", "console", *words],
        cwd=tmp_path,
        env=environment(settings | {"PLATFORM_HOOK": ""}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(harness.all(Intervention)) < 10:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    replayed = [act.delivery_id for act in harness.all(Intervention)]
    assert process.returncode == 130
    assert (f"Stopped: {len(replayed)} of 60 deliveries replayed" in output, errors) == (True, "")
    assert 10 <= len(replayed) < 60
    with harness.services.database.read_only() as session:
        counts = dict(session.execute(select(Delivery.status, func.count()).group_by(Delivery.status)).all())
    assert counts == {"pending": len(replayed), "dead": 60 - len(replayed)}
    BROKEN["hook"] = False
    invoke(replay, "--dead", "--yes")
    harness.process_due()
    assert {row.status for row in harness.all(Delivery)} == {"done"}
    assert sorted(act.delivery_id for act in harness.all(Intervention)) == sorted(ids)
    assert len(harness.notification_kinds()) == 60


def test_an_unavailable_queue_is_reported() -> None:
    away = JobQueue(connect("redis://127.0.0.1:1"))
    assert not away.trigger_drain("inbox")
