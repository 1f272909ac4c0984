"""`deliveries ignore`: close dead rows with a reason, and nothing else."""

import json
from collections.abc import Callable

from click.testing import Result

from console.commands.deliveries.error_groups import notification_errors
from console.commands.deliveries.ignore import ignore, ignore_notifications
from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from tests.worker.harness import AT, START, Harness

Invoke = Callable[..., Result]


def test_a_dead_delivery_is_closed_with_a_reason(harness: Harness, invoke: Invoke) -> None:
    one, two = harness.deliver(b"not json", b"nor this")
    harness.process_due()
    result = invoke(ignore, one[:8], two, "--reason", "a test of theirs", "--by", "another")
    assert (result.exit_code, result.output.count("ignored")) == (0, 2)
    assert [(row.status, row.note) for row in harness.all(Delivery)] == [("done", "ignored: a test of theirs")] * 2
    assert {(act.kind, act.by, act.reason) for act in harness.all(Intervention)} == {
        ("ignored", "another", "a test of theirs")
    }


def test_json_lists_the_closed_rows(harness: Harness, invoke: Invoke) -> None:
    (one,) = harness.deliver(b"not json")
    harness.process_due()
    said = json.loads(invoke(ignore, one, "--reason", "x", "--json").stdout)
    assert said == {"ignored": [one], "redis_answers": True}


def test_it_needs_a_reason_and_a_dead_delivery(harness: Harness, invoke: Invoke) -> None:
    harness.process(samples.created("b1", START, AT))
    (row,) = harness.all(Delivery)
    assert invoke(ignore, row.id).exit_code == 2
    assert invoke(ignore, "--reason", "x").exit_code == 2
    result = invoke(ignore, row.id, "--reason", "x")
    assert result.exit_code == 1
    assert f"delivery {row.id} is done, not dead" in result.output
    assert harness.all(Intervention) == []


def test_all_dead_deliveries_with_an_error_are_closed_at_once(harness: Harness, invoke: Invoke) -> None:
    harness.deliver(*(f"not json {number}".encode() for number in range(3)), b'{"data": {}}')
    harness.process_due()
    other = next(row.id for row in harness.all(Delivery) if "JSON" not in (row.last_error or ""))
    result = invoke(ignore, "--dead", "--error", "JSON", "--reason", "x", "--yes")
    assert (result.exit_code, result.output.count("ignored")) == (0, 3)
    assert [row.id for row in harness.all(Delivery) if row.status == "dead"] == [other]


def test_filters_ask_first_and_select_only_dead_rows(harness: Harness, invoke: Invoke) -> None:
    harness.deliver(b"not json")
    harness.process(samples.created("b1", START, AT))
    assert invoke(ignore, "--since", "1h", "--reason", "x", "--json").exit_code == 2
    assert invoke(ignore, "--status", "done", "--reason", "x").exit_code == 2
    assert "Ignore 1 delivery?" in invoke(ignore, "--since", "1h", "--reason", "x").output
    assert sorted(row.status for row in harness.all(Delivery)) == ["dead", "done"]
    harness.deliver(b"nor this")
    harness.process_due()
    assert "Ignore 2 deliveries?" in invoke(ignore, "--since", "1h", "--reason", "x").output
    assert invoke(ignore, "--since", "1h", "--reason", "x", "--yes").exit_code == 0
    assert {row.status for row in harness.all(Delivery)} == {"done"}
    assert "nothing to ignore" in invoke(ignore, "--dead", "--reason", "x").output


def dead_notifications(harness: Harness) -> list[Notification]:
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:", "https://platform.example/s3cret"])
    harness.process(samples.created("b1", START, AT), samples.created("b2", START, AT))
    harness.send_all()
    return harness.all(Notification)


def test_dead_notifications_are_closed_with_a_reason(harness: Harness, invoke: Invoke) -> None:
    one, two, *_ = dead_notifications(harness)
    result = invoke(ignore_notifications, str(one.id), two.message_id, "--reason", "no mail", "--by", "another")
    assert (result.exit_code, result.output.count("ignored")) == (0, 2)
    closed = [row for row in harness.all(Notification) if row.status == "done"]
    assert [(row.id, row.last_error) for row in closed] == [(each.id, "ignored: no mail") for each in (one, two)]
    assert {(act.kind, act.by, act.notification_id) for act in harness.all(Intervention)} == {
        ("ignored", "another", each.id) for each in (one, two)
    }
    said = json.loads(invoke(ignore_notifications, "--dead", "--reason", "x", "--yes", "--json").stdout)
    assert len(said["ignored"]) == 2
    result = invoke(ignore_notifications, str(one.id), "--reason", "x")
    assert f"notification {one.id} is done, not dead" in result.output


def test_the_errors_of_notifications_are_counted_and_name_the_setting(harness: Harness, invoke: Invoke) -> None:
    dead_notifications(harness)
    found = json.loads(invoke(notification_errors, "--json").stdout)["errors"]
    assert [(each["notifications"], each["status"]) for each in found] == [(2, "dead"), (2, "dead")]
    said = " ".join(each["error"] for each in found)
    assert "MAIL_FROM is not set" in said
    assert "NOTIFY_SIGNING_SECRET is not set" in said
    assert "s3cret" not in said
    shown = invoke(notification_errors).output
    assert "notifications replay --dead --dry-run" in shown
    for row in harness.all(Notification):
        invoke(ignore_notifications, str(row.id), "--reason", "x")
    assert "No notification has an error." in invoke(notification_errors).output
