"""`notifications`: list them, and show each."""

import re

from models.notification import Notification
from tests.console.cli import run_cli, run_cli_json
from tests.worker.harness import Harness


def test_a_list_is_newest_first_and_filtered(sample_data: Harness) -> None:
    listed = run_cli_json("notifications", "list")["notifications"]
    assert [row["id"] for row in listed] == sorted((row["id"] for row in listed), reverse=True)
    waiting = run_cli_json("notifications", "list", "--status", "pending", "--booking", "b1")["notifications"]
    assert {row["channel"] for row in waiting} == {"http"}
    assert [row["kind"] for row in waiting] == ["cancelled", "rescheduled", "created"]
    assert "could not be reached" in waiting[-1]["last_error"]
    assert "could not be reached" in run_cli("notifications", "list").stdout


def test_pages_lead_to_each_other(sample_data: Harness) -> None:
    first = run_cli_json("notifications", "list", "--limit", "5")
    second = run_cli_json("notifications", "list", "--limit", "5", "--before", str(first["next"]))
    assert len(first["notifications"]) == 5
    assert len(first["notifications"] + second["notifications"]) == len(sample_data.all(Notification))
    assert second["next"] is None
    hint = run_cli("notifications", "list", "--limit", "5").stdout.splitlines()[-1]
    assert hint.endswith(f"notifications list --limit 5 --before {first['next']}")


def test_a_notification_is_shown_by_its_number_or_its_message_id(sample_data: Harness) -> None:
    row = sample_data.all(Notification)[1]
    by_number, by_message = (
        run_cli_json("notifications", "show", "2"),
        run_cli_json("notifications", "show", row.message_id),
    )
    assert by_number == by_message
    assert by_number["payload"]["booking"]["id"] == "b1"
    assert [(each["number"], each["outcome"]) for each in by_number["failed_attempts"]] == [(1, "pending")]
    assert re.search(r"^  next try +\d{4}", run_cli("notifications", "show", row.message_id[:10]).stdout, re.MULTILINE)


def test_an_unknown_id_gives_an_error_message(harness: Harness) -> None:
    for typed in ("1", "x", "99999999999999999999", "msg_ffffff", "msg_f", "-1", "\u0661"):
        done = run_cli("notifications", "show", "--", typed)
        assert done.exit_code == 1
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr
