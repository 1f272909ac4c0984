"""`deliveries`: list them, and show each in full without secrets."""

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from console.render.body import compact
from devtools.send import samples
from models.account import DEFAULT
from models.delivery import Delivery, delivery_id
from models.intervention import Intervention
from tests.console.cli import BROKEN, ON_SQLITE, SECRETS, run_cli, run_cli_json
from tests.console.terminal import terminal
from tests.worker.harness import AT, START, Harness


def test_a_list_is_newest_first_and_filtered(sample_data: Harness) -> None:
    listed = run_cli_json("deliveries", "list")
    assert [row["event"] for row in listed["deliveries"]][2:] == [
        *("booking_created", "booking_cancelled", "booking_rescheduled", "booking_created")
    ]
    assert listed["next"] is None
    dead = run_cli_json("deliveries", "list", "--status", "dead", "--error", "not json")["deliveries"]
    assert [row["id"] for row in dead] == [delivery_id(BROKEN, DEFAULT)]
    assert dead[0]["last_error"] == "the body is not JSON"
    assert len(run_cli_json("deliveries", "list", "--booking", "b1", "--user", "4711")["deliveries"]) == 3
    assert len(run_cli_json("deliveries", "list", "--booking", "unhost")["deliveries"]) == 1


def test_a_list_in_a_pipe_has_short_ids_and_no_colours(sample_data: Harness) -> None:
    done = run_cli("deliveries", "list", "--status", "dead")
    assert done.exit_code == 0
    line = done.stdout.splitlines()[2]
    assert line.startswith(delivery_id(BROKEN, DEFAULT)[:12] + "  ")
    assert line.endswith("the body is not JSON")
    assert "\x1b" not in done.stdout


def test_nothing_found_gives_an_error_message_and_no_failure(harness: Harness) -> None:
    done = run_cli("deliveries", "list", "--since", "10m")
    assert (done.exit_code, done.stdout) == (0, "No delivery matches.\n")
    assert run_cli_json("deliveries", "list") == {"deliveries": [], "next": None}


def test_pages_lead_to_each_other_and_miss_nothing(harness: Harness) -> None:
    harness.deliver(*(b'{"webhookType":"form_submission","n":%d}' % number for number in range(7)))
    words, seen = ["deliveries", "list", "--limit", "3", "--status", "pending"], []
    for expected in (3, 3, 1):
        page = run_cli_json(*words)
        hint = re.search(r"^\d more: \S+ (deliveries list .*)$", run_cli(*words).stdout, re.MULTILINE)
        assert bool(hint) == (page["next"] is not None)
        assert len(page["deliveries"]) == expected
        seen += [row["id"] for row in page["deliveries"]]
        words = hint[1].split() if hint else []
    assert sorted(seen) == sorted(row.id for row in harness.all(Delivery))
    assert words == []


def test_a_page_names_the_number_of_further_rows_and_the_next_commands(sample_data: Harness) -> None:
    sample_data.process(b"broken too")
    last = run_cli("deliveries", "list", "--status", "dead", "--limit", "1").stdout.splitlines()[-3:]
    newest = run_cli_json("deliveries", "list", "--limit", "1")["deliveries"][0]["id"][:12]
    assert last == [
        f"One of them: bin/inbox deliveries show {newest}",
        "Errors by frequency: bin/inbox deliveries errors",
        f"1 more: console deliveries list --status dead --limit 1 --before {newest}",
    ]
    assert "One of them" not in run_cli("deliveries", "list", "--status", "done").stdout


def test_errors_are_counted_the_most_frequent_first(harness: Harness) -> None:
    assert run_cli("deliveries", "errors").stdout == "No delivery has an error.\n"
    for body in (b"not json", b"nor this", b'{"webhookType": "booking_created"}', b"x"):
        harness.process(body)
    counted = run_cli_json("deliveries", "errors")["errors"]
    assert [(row["deliveries"], row["status"]) for row in counted] == [(3, "dead"), (1, "dead")]
    assert counted[0]["error"] == "the body is not JSON"
    assert len(run_cli_json("deliveries", "errors", "--error", "not JSON")["errors"]) == 1
    sheet = run_cli("deliveries", "errors").stdout
    assert re.search(r"^ +3  dead +\d+ s ago +\d+ s ago +[0-9a-f]{12}  the body is not JSON$", sheet, re.MULTILINE)
    assert sheet.endswith("What a replay would do now: bin/inbox replay --dead --dry-run\n")
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(status="pending", attempts=3, ended_at=None))
    sheet = run_cli("deliveries", "errors").stdout
    assert sheet.endswith("What a replay would do now: bin/inbox replay --status pending --dry-run\n")


@ON_SQLITE
def test_on_a_terminal_a_repeated_error_is_collapsed(sample_data: Harness) -> None:
    sample_data.process(b"broken too")
    with terminal("deliveries", "list", "--status", "dead") as screen:
        assert screen.end() == 0
    assert (screen.text.count("the body is not JSON"), screen.text.count("(the same)")) == (1, 1)
    assert run_cli("deliveries", "list", "--status", "dead").stdout.count("the body is not JSON") == 2


def test_a_body_is_compact_and_valid_json() -> None:
    content = {"id": 1, "guest": {"name": "Ü" * 30}, "hosts": [{"id": "x" * 40}, {"id": "y" * 40}], "none": []}
    text = compact({"data": content}, 76)
    assert json.loads(text) == {"data": content}
    assert text.splitlines() == [
        "{",
        '  "data": {',
        '    "id": 1,',
        f'    "guest": {{"name": "{"Ü" * 30}"}},',
        '    "hosts": [',
        f'      {{"id": "{"x" * 40}"}},',
        f'      {{"id": "{"y" * 40}"}}',
        "    ],",
        '    "none": []',
        "  }",
        "}",
    ]


def test_a_next_page_keeps_the_time_of_a_filter_given_as_an_age(sample_data: Harness) -> None:
    hint = run_cli("deliveries", "list", "--since", "1h", "--limit", "1").stdout.splitlines()[-1]
    assert re.search(r"--since \d{4}-\d\d-\d\dT\S+\+00:00 --limit 1 --before [0-9a-f]{12}$", hint)


def test_a_delivery_is_shown_with_its_changes_and_notifications(sample_data: Harness) -> None:
    delivery_id = run_cli_json("deliveries", "list", "--event", "booking_rescheduled")["deliveries"][0]["id"]
    shown = run_cli_json("deliveries", "show", delivery_id[:8])
    assert shown["id"] == delivery_id
    (change,) = shown["changes"]
    assert (change["booking_id"], change["kind"], change["revision"]) == ("b1", "rescheduled", 2)
    assert change["before"]["starts_at"] == START.isoformat()
    assert [(row["kind"], row["channel"]) for row in shown["notifications"]] == [
        ("rescheduled", "log"),
        ("rescheduled", "http"),
    ]
    sheet = run_cli("deliveries", "show", delivery_id).stdout
    assert "starts_at  2124-01-15 08:00:00 -> 2124-01-15 09:40:00" in sheet
    assert '"secret": "***"' in sheet


def test_every_failed_attempt_and_intervention_is_shown(sample_data: Harness) -> None:
    with sample_data.services.database.transaction() as session:
        row = session.get_one(Delivery, delivery_id(BROKEN, DEFAULT))
        Intervention.record(session, "replayed", row, AT, by="somebody", reason="the hook is repaired")
        row.replay(AT)
    sample_data.process_due()
    shown = run_cli_json("deliveries", "show", delivery_id(BROKEN, DEFAULT))
    assert [(row["number"], row["outcome"], row["error"]) for row in shown["failed_attempts"]] == [
        (1, "dead", "the body is not JSON")
    ] * 2
    assert [(row["kind"], row["by"], row["reason"]) for row in shown["interventions"]] == [
        ("replayed", "somebody", "the hook is repaired")
    ]
    sheet = run_cli("deliveries", "show", delivery_id(BROKEN, DEFAULT)).stdout
    assert "the hook is repaired" in sheet
    assert f"bin/inbox replay {delivery_id(BROKEN, DEFAULT)[:12]} --dry-run" in sheet


@ON_SQLITE
def test_no_secret_is_shown_anywhere(sample_data: Harness) -> None:
    ids = [row.id for row in sample_data.all(Delivery)]
    commands = [["deliveries", "show", each] for each in ids]
    commands += [
        ["deliveries", "list"],
        ["bookings", "show", "b1"],
        ["bookings", "show", "unhosted-1"],
        ["bookings", "list"],
        ["notifications", "list"],
    ]
    commands += [["notifications", "show", "1"], ["events", "tail", "--no-follow", "--since", "1h"]]
    for words in commands:
        for done in (run_cli(*words), run_cli(*words, "--json")):
            assert done.exit_code == 0, done.stderr
            assert not [secret for secret in SECRETS if secret in done.stdout]
    assert "its-own-secret" in BROKEN.decode()


def test_the_beginning_of_a_body_that_is_not_json_is_shown(sample_data: Harness) -> None:
    shown = run_cli_json("deliveries", "show", delivery_id(BROKEN, DEFAULT))
    assert shown["body"] is None
    assert shown["body_begins"] == '{"webhookType": "booking_created", "secret": ***, "id": '
    (binary,) = sample_data.deliver(b"\xff\xfe\x1b[2J" + b"x" * 500)
    done = run_cli("deliveries", "show", binary)
    assert r"\xff\xfe\x1b[2Jxxx" in done.stdout
    assert "x" * 201 not in done.stdout


def test_an_erased_body_is_marked(sample_data: Harness) -> None:
    assert run_cli("erase", "guest-1@example.com", "--yes").exit_code == 0
    (erased, *_) = run_cli_json("deliveries", "list", "--booking", "b1")["deliveries"]
    assert "it was erased" in run_cli("deliveries", "show", erased["id"]).stdout


def test_a_body_whose_key_is_missing_names_the_key(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Fernet.generate_key().decode()
    (delivery_id,) = open_harness(body_keys=key).deliver(samples.created("b1", START, AT))
    assert run_cli_json("deliveries", "show", delivery_id)["body"]["id"] == "b1"
    monkeypatch.setenv("BODY_KEYS", Fernet.generate_key().decode())
    shown = run_cli_json("deliveries", "show", delivery_id)
    assert shown["body"] is None
    assert "which is not in BODY_KEYS" in shown["body_is_missing"]


def test_a_unique_prefix_of_an_id_is_enough(harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        for delivery_id in ("abcd" * 16, "abcd" * 15 + "ffff"):
            columns = dict(account="default", source="webhook", body=b"{}", received_at=AT, due_at=AT)
            session.add(Delivery(id=delivery_id, **columns))
    assert run_cli_json("deliveries", "show", "abcd" * 15 + "f")["id"] == "abcd" * 15 + "ffff"
    assert run_cli_json("deliveries", "show", "ABCD" * 16)["id"] == "abcd" * 16
    for typed, sentence in {
        "abcd": "2 deliveries begin with abcd: write more of the id",
        "abcd_": "there is no delivery whose id is abcd_",
        "abc": "write at least 4 characters",
        "%%%%": "there is no delivery",
    }.items():
        done = run_cli("deliveries", "show", typed)
        assert done.exit_code == 1
        assert sentence in done.stderr


def test_a_deleted_row_cannot_start_a_page(harness: Harness) -> None:
    done = run_cli("deliveries", "list", "--before", "0" * 64)
    assert done.exit_code == 1
    assert "there is no delivery" in done.stderr


def test_untrusted_text_cannot_control_the_terminal(harness: Harness) -> None:
    (delivery_id,) = harness.deliver('{"webhookType": "\\u001b[2J\\u202eevil", "name": "\x9b2J"}'.encode())
    harness.process_due()
    for words in (["list"], ["show", delivery_id]):
        assert not re.search("[\x1b\x9b\u202e]", run_cli("deliveries", *words).stdout)


def test_deliveries_received_at_the_same_time_are_paged_by_id(harness: Harness) -> None:
    ids = harness.deliver(*(b'{"webhookType":"form_submission","n":%d}' % number for number in range(3)))
    with harness.services.database.transaction() as session:
        for each in ids:
            session.get_one(Delivery, each).received_at = AT - timedelta(days=1)
    first = run_cli_json("deliveries", "list", "--limit", "1")
    second = run_cli_json("deliveries", "list", "--limit", "5", "--before", first["next"])
    assert [row["id"] for row in first["deliveries"] + second["deliveries"]] == sorted(ids, reverse=True)


@ON_SQLITE
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["deliveries", "list", "--since", "yesterday"], "'yesterday'"),
        (["webhook", "rotate", "--timeout", "long"], "'long' is not a duration: write 30s, 10m, 24h or 2d"),
    ],
)
def test_a_time_that_is_none_is_wrong_usage(harness: Harness, words: list[str], sentence: str) -> None:
    done = run_cli(*words)
    assert (done.exit_code, sentence in done.stderr) == (2, True)
