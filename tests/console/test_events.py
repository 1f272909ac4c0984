"""`events tail`: each happening once, late ones too, whatever the database does meanwhile."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from console.commands.events import follow_on
from devtools.send import samples
from models.delivery import Delivery
from models.happening import TimelineEntry
from operations.tail import FEW, Tail
from tests.console.keyboard import ON_SQLITE, ask
from tests.console.terminal import terminal
from tests.worker.desk import AT, START, Desk

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def receive(desk: Desk, body: bytes, at: datetime) -> str:
    """A delivery that came at some time."""
    (delivery_id,) = desk.deliver(body)
    with desk.office.database.transaction() as session:
        session.get_one(Delivery, delivery_id).received_at = at
    return delivery_id


def read(desk: Desk, tail: Tail, now: datetime) -> list[str | None]:
    with desk.office.database.reading() as session:
        return [happening.delivery_id for happening in tail.read(session, now)]


def follow(desk: Desk, actions: Iterator[Callable[[], object]], database: Any = None) -> list[TimelineEntry]:
    """Follows while the actions are done, one between two reads; then Ctrl-C."""
    told: list[TimelineEntry] = []

    def wait() -> None:
        action = next(actions, None)
        if action is None:
            raise KeyboardInterrupt
        action()

    with pytest.raises(KeyboardInterrupt):
        follow_on(database or desk.office.database, Tail(), told.append, wait)
    return told


def test_it_begins_with_the_last_few(busy: Desk) -> None:
    lines = ask("events", "tail", "--no-follow").stdout.splitlines()
    assert len(lines) == FEW
    assert "notification" in lines[-1]


def test_it_begins_earlier_if_asked(busy: Desk) -> None:
    done = ask("events", "tail", "--no-follow", "--since", "10m")
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
        "· notification owed 1 b1 created by log",
        "✓ notification done 1 b1 created by log",
    ):
        assert words in said
    assert ask("events", "tail", "--no-follow", "--since", "2100-01-01").stdout == ""


def test_json_is_one_object_a_line_with_the_same_keys(busy: Desk) -> None:
    lines = ask("events", "tail", "--no-follow", "--since", "10m", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert len({tuple(event) for event in events}) == 1
    assert {event["kind"] for event in events} >= {"delivery.received", "delivery.dead", "booking.created"}
    assert all(datetime.fromisoformat(event["at"]).utcoffset() == timedelta(0) for event in events)


def test_each_happening_is_told_once_as_it_comes(desk: Desk) -> None:
    actions = [
        lambda: desk.deliver(samples.created("b1", START, AT)),
        lambda: None,
        desk.work_off,
        desk.send_all,
        lambda: None,
    ]
    assert [happening.kind for happening in follow(desk, iter(actions))] == [
        *("delivery.received", "booking.created", "notification.owed", "delivery.done", "notification.done")
    ]


def test_what_is_committed_late_is_told_all_the_same(desk: Desk) -> None:
    receive(desk, b"1", NOW)
    tail = Tail(NOW - timedelta(minutes=1))
    assert len(read(desk, tail, NOW)) == 1
    late = receive(desk, b"2", NOW - timedelta(seconds=15))
    newer = receive(desk, b"3", NOW + timedelta(seconds=1))
    assert read(desk, tail, NOW + timedelta(seconds=1)) == [late, newer]
    assert read(desk, tail, NOW + timedelta(seconds=2)) == []


def test_what_came_while_the_database_was_away_is_told_though_it_is_stored_later(desk: Desk) -> None:
    tail, back = Tail(NOW), NOW + timedelta(minutes=2)
    assert read(desk, tail, NOW) == []
    assert read(desk, tail, back) == []
    carried = receive(desk, b"1", NOW + timedelta(seconds=3))
    assert read(desk, tail, back + timedelta(seconds=1)) == [carried]
    for second in range(120):
        assert read(desk, tail, back + timedelta(seconds=second)) == []
    receive(desk, b"2", back)
    assert read(desk, tail, back + timedelta(minutes=2)) == []


def test_a_crowd_at_the_beginning_is_not_told_later(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.deliver(*(b'{"n":%d}' % number for number in range(FEW * 3)))
    tail = Tail()
    assert len(read(desk, tail, now)) == FEW
    assert read(desk, tail, now) == []


def test_a_database_that_is_away_is_waited_for_and_said_once(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    class Flaky:
        """The real one, after it has failed some times."""

        failures = 0

        def reading(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OperationalError("", {}, Exception("connection refused"))
            return desk.office.database.reading()

    flaky = Flaky()

    def fail() -> None:
        desk.deliver(b"1")
        flaky.failures = 3

    told = follow(desk, iter([fail, *[lambda: None] * 4]), flaky)
    assert [happening.kind for happening in told] == ["delivery.received"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "the database does not answer: connection refused; waiting for it ...",
        "the database answers again",
    ]


def test_a_database_without_tables_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/bare.db")
    done = ask("events", "tail")
    assert done.exit_code == 1
    assert "python -m console migrate" in done.stderr


@ON_SQLITE
def test_on_a_terminal_it_is_coloured_and_ends_quietly_at_ctrl_c(desk: Desk) -> None:
    desk.tell(b"not json")
    with terminal("events", "tail") as screen:
        screen.wait_for("delivery dead")
        desk.deliver(b'{"webhookType": "form_submission"}')
        desk.work_off()
        screen.wait_for("nobody handles this event")
        screen.press_ctrl_c()
        code = screen.end()
    assert code == 0
    assert "\x1b[1;31m✗ delivery dead" in screen.raw
    assert screen.text.count("delivery received") == 2
    assert "Traceback" not in screen.text
    assert "Aborted" not in screen.text
