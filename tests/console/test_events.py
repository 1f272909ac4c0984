"""`events tail`: each entry once, including late ones, whatever happens to the database."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from console.commands.deliveries.events import follow_events
from devtools.send import samples
from models.delivery import Delivery
from models.timeline import TimelineEntry
from operations.deliveries.tail import INITIAL_ENTRIES, Tail
from tests.console.cli import ON_SQLITE, run_cli
from tests.console.terminal import terminal
from tests.worker.harness import AT, START, Harness

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def receive(harness: Harness, body: bytes, at: datetime) -> str:
    """Store a delivery received at a given time."""
    (delivery_id,) = harness.deliver(body)
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, delivery_id).received_at = at
    return delivery_id


def read(harness: Harness, tail: Tail, now: datetime) -> list[str | None]:
    with harness.services.database.read_only() as session:
        return [entry.delivery_id for entry in tail.read(session, now)]


def follow(harness: Harness, actions: Iterator[Callable[[], object]], database: Any = None) -> list[TimelineEntry]:
    """Follow while the actions run, one between two reads; then press Ctrl-C."""
    shown: list[TimelineEntry] = []

    def wait() -> None:
        action = next(actions, None)
        if action is None:
            raise KeyboardInterrupt
        action()

    with pytest.raises(KeyboardInterrupt):
        follow_events(database or harness.services.database, Tail(), shown.append, wait)
    return shown


def test_it_starts_with_the_last_entries(sample_data: Harness) -> None:
    lines = run_cli("events", "tail", "--no-follow").stdout.splitlines()
    assert len(lines) == INITIAL_ENTRIES
    assert "notification" in lines[-1]


def test_it_starts_earlier_on_request(sample_data: Harness) -> None:
    done = run_cli("events", "tail", "--no-follow", "--since", "10m")
    assert done.exit_code == 0
    said = re.sub(" +", " ", done.stdout)
    for words in (
        "→ delivery received ",
        "• booking created b1 starts at 2124-01-15 08:00:00",
        "• booking rescheduled b1 starts_at: 2124-01-15 08:00:00 -> 2124-01-15 09:40:00, ends_at",
        "• booking cancelled b1 status: confirmed -> cancelled, ",
        "✗ delivery dead ",
        "try 1: the body is not JSON",
        "form_submission nobody handles this event",
        "· notification pending 1 b1 created by log",
        "✓ notification done 1 b1 created by log",
    ):
        assert words in said
    assert run_cli("events", "tail", "--no-follow", "--since", "2100-01-01").stdout == ""


def test_json_is_one_object_a_line_with_the_same_keys(sample_data: Harness) -> None:
    lines = run_cli("events", "tail", "--no-follow", "--since", "10m", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert len({tuple(event) for event in events}) == 1
    assert {event["kind"] for event in events} >= {"delivery.received", "delivery.dead", "booking.created"}
    assert all(datetime.fromisoformat(event["at"]).utcoffset() == timedelta(0) for event in events)


def test_each_entry_is_shown_once_as_it_comes(harness: Harness) -> None:
    actions = [
        lambda: harness.deliver(samples.created("b1", START, AT)),
        lambda: None,
        harness.process_due,
        harness.send_all,
        lambda: None,
    ]
    assert [entry.kind for entry in follow(harness, iter(actions))] == [
        *("delivery.received", "booking.created", "notification.owed", "delivery.done", "notification.done")
    ]


def test_an_entry_committed_late_is_shown(harness: Harness) -> None:
    receive(harness, b"1", NOW)
    tail = Tail(NOW - timedelta(minutes=1))
    assert len(read(harness, tail, NOW)) == 1
    late = receive(harness, b"2", NOW - timedelta(seconds=15))
    newer = receive(harness, b"3", NOW + timedelta(seconds=1))
    assert read(harness, tail, NOW + timedelta(seconds=1)) == [late, newer]
    assert read(harness, tail, NOW + timedelta(seconds=2)) == []


def test_deliveries_received_while_the_database_was_down_are_shown_when_stored(harness: Harness) -> None:
    tail, back = Tail(NOW), NOW + timedelta(minutes=2)
    assert read(harness, tail, NOW) == []
    assert read(harness, tail, back) == []
    carried = receive(harness, b"1", NOW + timedelta(seconds=3))
    assert read(harness, tail, back + timedelta(seconds=1)) == [carried]
    for second in range(120):
        assert read(harness, tail, back + timedelta(seconds=second)) == []
    receive(harness, b"2", back)
    assert read(harness, tail, back + timedelta(minutes=2)) == []


def test_entries_omitted_at_the_start_are_not_shown_later(harness: Harness) -> None:
    now = datetime.now(UTC)
    harness.deliver(*(b'{"n":%d}' % number for number in range(INITIAL_ENTRIES * 3)))
    tail = Tail()
    assert len(read(harness, tail, now)) == INITIAL_ENTRIES
    assert read(harness, tail, now) == []


def test_it_waits_for_a_database_that_is_down_and_says_so_once(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    class Flaky:
        """The real method, after some failures."""

        failures = 0

        def read_only(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OperationalError("", {}, Exception("connection refused"))
            return harness.services.database.read_only()

    flaky = Flaky()

    def fail() -> None:
        harness.deliver(b"1")
        flaky.failures = 3

    shown = follow(harness, iter([fail, *[lambda: None] * 4]), flaky)
    assert [entry.kind for entry in shown] == ["delivery.received"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "the database does not answer: connection refused; waiting for it ...",
        "the database answers again",
    ]


def test_it_does_not_wait_for_a_database_without_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/bare.db")
    done = run_cli("events", "tail")
    assert done.exit_code == 1
    assert "bin/inbox migrate" in done.stderr


@ON_SQLITE
def test_on_a_terminal_it_is_coloured_and_ends_quietly_on_ctrl_c(harness: Harness) -> None:
    harness.process(b"not json")
    with terminal("events", "tail") as screen:
        screen.wait_for("delivery dead")
        harness.deliver(b'{"webhookType": "form_submission"}')
        harness.process_due()
        screen.wait_for("nobody handles this event")
        screen.press_ctrl_c()
        code = screen.end()
    assert code == 0
    assert "\x1b[1;31m✗ delivery dead" in screen.raw
    assert screen.text.count("delivery received") == 2
    assert "Traceback" not in screen.text
    assert "Aborted" not in screen.text
