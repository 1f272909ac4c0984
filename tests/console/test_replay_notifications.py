"""`notifications replay`: sends dead notifications, and sent ones only on request."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from redis import Redis

from console.commands.deliveries.replay_notifications import replay_notifications
from devtools.send import samples
from models.intervention import Intervention
from models.notification import SUPERSEDED, Notification
from runtime.errors import Permanent
from tests.snapshot import snapshot
from tests.worker.harness import AT, START, Harness, later
from worker.channels import Message
from worker.channels.log import LogChannel

Invoke = Callable[..., Result]
SICK = {"kinds": {"created"}}


@pytest.fixture
def sent(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """b1 was booked, which could not be sent, and cancelled, which was. Return the ids of messages sent since."""
    messages: list[str] = []

    def send(_channel: LogChannel, message: Message) -> None:
        if message.kind in SICK["kinds"]:
            raise Permanent("nobody there")
        messages.append(message.id)

    SICK["kinds"] = {"created"}
    monkeypatch.setattr(LogChannel, "send", send)
    harness.process(samples.created("b1", START, AT), samples.cancelled("b1", START, later(1)))
    harness.send_all()
    SICK["kinds"] = set()
    messages.clear()
    return messages


def test_the_dead_are_sent(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    result = invoke(replay_notifications, "--dead", "--superseded", "--reason", "they are back", "--yes")
    assert result.exit_code == 0, result.output
    assert "nobody there" in result.output
    harness.send_all()
    assert sent == [harness.all(Notification)[0].message_id]
    assert [(act.kind, act.notification_id, act.by, act.reason) for act in harness.all(Intervention)] == [
        ("replayed", 1, "the-operator", "they are back")
    ]


def test_one_is_named_by_its_number_or_its_message_id(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    dead = harness.all(Notification)[0]
    for named in (str(dead.id), dead.message_id, dead.message_id[:12]):
        result = invoke(replay_notifications, named, "--superseded", "--dry-run")
        assert "1 notification would be sent" in result.output, result.output
    assert "there is no notification msg: its id is a number, or msg_..." in invoke(replay_notifications, "msg").output


def test_superseded_notifications_are_closed_and_not_sent(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    """Its creation: the host knows by now that it was cancelled."""
    result = invoke(replay_notifications, "--dead", "--yes")
    assert result.exit_code == 0, result.output
    message = "1 notification closed, not sent: something newer was sent since. Add --superseded to send it."
    assert message in result.output  # on one line: it is no terminal
    harness.send_all()
    assert sent == []
    assert [(row.status, row.last_error) for row in harness.all(Notification)] == [("done", SUPERSEDED), ("done", None)]


def test_sent_notifications_are_left_alone_without_again(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    result = invoke(replay_notifications, "2", "--yes")
    assert "already sent" in result.output
    assert "nothing to send" in result.output
    result = invoke(replay_notifications, "2", "--again", "--yes")
    harness.send_all()
    old, new = harness.all(Notification)[1:]
    assert sent == [new.message_id] != [old.message_id]
    assert [(act.kind, act.notification_id) for act in harness.all(Intervention)] == [("sent_again", new.id)]


def test_a_booking_is_named_by_the_beginning_of_its_id_as_lists_show_it(
    harness: Harness, invoke: Invoke, sent: list[str]
) -> None:
    harness.process(samples.created("0198c9a1-5f6e-7cc3-b7b6-111111111111", START, AT))
    harness.send_all()
    result = invoke(replay_notifications, "--booking", "0198c9a1-5f6", "--again", "--dry-run")
    assert "1 notification would be sent" in result.output


def test_a_pending_resend_is_not_repeated(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    for _ in range(2):
        invoke(replay_notifications, "--booking", "b1", "--again", "--superseded", "--yes")
    harness.send_all()
    assert len(sent) == 2


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_a_dry_run_and_no_change_nothing(
    harness: Harness, invoke: Invoke, sent: list[str], redis: Redis, words: list[str]
) -> None:
    before = snapshot(harness.services.database, redis)
    result = invoke(replay_notifications, "--booking", "b1", "--again", "--superseded", *words, answers="n\n")
    assert "2 notifications would be sent" in result.output
    assert snapshot(harness.services.database, redis) == before


def test_json_lists_what_would_be_and_what_was_sent(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    assert invoke(replay_notifications, "--dead", "--json").exit_code == 2
    dead = ("--dead", "--superseded", "--json")
    said = json.loads(invoke(replay_notifications, *dead, "--dry-run").stdout)
    assert [row["last_error"] for row in said.pop("notifications")] == ["nobody there"]
    assert said == {}
    said = json.loads(invoke(replay_notifications, *dead, "--yes").stdout)
    assert (said["sent"], said["workers_were_woken"]) == ([1], True)


def test_a_command_without_a_selection_is_rejected(harness: Harness, invoke: Invoke, sent: list[str]) -> None:
    assert invoke(replay_notifications, "--yes").exit_code == 2
    assert "there is no notification 99" in invoke(replay_notifications, "99", "--yes").output
    assert harness.all(Intervention) == []
