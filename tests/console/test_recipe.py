"""The commands for the rest of the recipe: `api`, `meeting-types`, `templates`, `slots`, `book`."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtools.processes import environment
from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.server import Sandbox
from models.platform_user import PlatformUser
from tests.console.conftest import Operator

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # they ask meetergo, and read one user

BOOK = "POST /v4/booking"


@pytest.fixture
def hosting(operator: Operator) -> Operator:
    """An operator with host 1, who can be booked."""
    host = operator.meetergo.actions.add_host("host@example.com")
    ids = dict(meetergo_user_id=host["userId"], meetergo_meeting_type_id=host["meetingTypeId"])
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id="1", **ids))
    return operator


def first_slot(operator: Operator) -> str:
    today = datetime.now(UTC).date()
    days = "--from", f"{today + timedelta(days=1)}", "--to", f"{today + timedelta(days=8)}"
    return operator.run("slots", "1", *days).stdout.splitlines()[0]


def test_check_names_the_acting_user_and_not_the_key(operator: Operator) -> None:
    said = json.loads(operator.run("api", "check", "--json").stdout)
    assert (said["kind"], said["acts_as"]["id"]) == ("platform", operator.meetergo.company.admin_id)
    assert said["key"].endswith(":***")
    said = operator.run("api", "check").stdout
    assert "meetergo answers." in said
    assert "set MEETERGO_API_KEY_EXPIRES, and `status` warns before." in said
    said = operator.run("api", "check", meetergo_api_key_expires="2099-01-31").stdout
    assert "MEETERGO_API_KEY_EXPIRES" not in said


def test_logs_of_retries_do_not_get_into_the_json(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.inject_faults("GET /v4/user/me", InjectedAnswer(429, b"", {"Retry-After": "0"}))
    env = {**environment({}), **operator.settings}
    command = [sys.executable, "-m", "console", "api", "check", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["kind"] == "platform"
    assert operator.request_count("GET /v4/user/me") == 3


def test_a_user_can_be_named_to_act_as(hosting: Operator) -> None:
    (row,) = hosting.users()
    said = json.loads(hosting.run("api", "check", "--json", meetergo_api_user=str(row.meetergo_user_id)).stdout)
    assert said["acts_as"]["id"] == row.meetergo_user_id
    assert hosting.request_count("GET /v4/user/me") == 1


def test_meeting_types_are_listed_and_only_given_options_change(hosting: Operator) -> None:
    done = hosting.run("meeting-types", "update", "1", "--duration", "45", "--buffer-after", "10")
    assert done.exit_code == 0, done.output
    (listed,) = json.loads(hosting.run("meeting-types", "list", "1", "--json").stdout)["meeting_types"]
    assert (listed["minutes"], listed["name"]) == (45, "30min Meeting")
    assert hosting.meetergo.meeting_types[listed["id"]]["meetingInfo"]["bufferAfter"] == 10
    assert hosting.run("meeting-types", "update", "1").exit_code == 1


def test_a_template_is_created_and_assigned_to_a_host(hosting: Operator) -> None:
    made = hosting.run("templates", "create", "--name", "Initial Consultation", "--duration", "30")
    done = hosting.run("templates", "assign", made.stdout.strip(), "1")
    assert "1: Initial Consultation (" in done.stdout
    assert len(hosting.meetergo.meeting_types) == 3  # the owner's, the host's first, and this one
    made = json.loads(hosting.run("templates", "create", "--name", "Short", "--duration", "15", "--json").stdout)
    assert (made["name"], made["minutes"]) == ("Short", 15)
    [assigned] = json.loads(hosting.run("templates", "assign", made["id"], "1", "--json").stdout)["assigned"]
    assert (assigned["external_id"], [each["name"] for each in assigned["meeting_types"]]) == ("1", ["Short"])


def test_an_assignment_that_fails_in_between_says_what_was_done_and_what_was_not(hosting: Operator) -> None:
    for number in (2, 3):
        host = hosting.meetergo.actions.add_host(f"host-{number}@example.com")
        with hosting.database.transaction() as session:
            session.add(PlatformUser(external_id=str(number), meetergo_user_id=host["userId"]))
    made = hosting.run("templates", "create", "--name", "Short", "--duration", "15").stdout.strip()
    for words in ([], ["--json"]):
        hosting.meetergo.inject_faults("POST /v4/meeting-type-template/assign/{id}", None, InjectedAnswer(404))
        done = hosting.run("templates", "assign", made, "1", "2", "3", *words)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: 2: meetergo answered 404 to POST /v4/meeting-type-template/assign/")
        assert done.stderr.endswith("; not reached: 3\n")
        reported = json.loads(done.stdout)["assigned"] if words else done.stdout.splitlines()
        assert len(reported) == 1


def test_slots_are_listed_as_json_and_none_is_said(hosting: Operator) -> None:
    first = first_slot(hosting)
    day = first[:10]
    listed = json.loads(hosting.run("slots", "1", "--from", day, "--to", day, "--json").stdout)["slots"]
    assert datetime.fromisoformat(listed[0]["start"]) == datetime.fromisoformat(first)
    none = hosting.run("slots", "1", "--from", "2000-01-01", "--to", "2000-01-02")
    assert (none.stdout, none.stderr) == ("", "No slot is free.\n")


def test_a_slot_can_be_booked_and_the_secret_is_not_shown(hosting: Operator) -> None:
    done = hosting.run("book", "1", "--start", first_slot(hosting), "--email", "guest-1@example.com", "--name", "Guest")
    (appointment,) = hosting.meetergo.appointments.values()
    assert done.stdout == f"Booked: {appointment['id']}\n"
    assert appointment["secret"] not in done.output
    again = hosting.run("book", "1", "--start", appointment["start"], "--email", "g@example.com", "--name", "Guest")
    assert again.exit_code == 1
    assert "load the free slots again" in again.stderr


def test_a_pending_booking_is_reported_as_not_booked(hosting: Operator) -> None:
    (row,) = hosting.users()
    hosting.meetergo.meeting_types[str(row.meetergo_meeting_type_id)]["meetingOptions"] = {"doubleOptIn": True}
    start = first_slot(hosting)
    done = hosting.run("book", "1", "--start", start, "--email", "guest-1@example.com", "--name", "Guest", "--json")
    assert json.loads(done.stdout)["status"] == "waiting"
    assert not hosting.meetergo.appointments


@pytest.mark.parametrize("credential", ["key", "token"])
@pytest.mark.parametrize(("act", "code", "bookings"), [("commit_then_fail", 0, 1), ("drop_connection", 1, 0)])
def test_a_booking_with_unknown_outcome_is_looked_up_and_never_repeated(
    hosting: Operator, act: str, code: int, bookings: int, credential: str
) -> None:
    start = first_slot(hosting)
    hosting.settings["MEETERGO_API_KEY"] = getattr(hosting.meetergo, credential)
    hosting.meetergo.inject_faults(BOOK, act)
    done = hosting.run("book", "1", "--start", start, "--email", "guest-1@example.com", "--name", "Guest")
    assert (done.exit_code, hosting.request_count(BOOK)) == (code, 1)
    assert len(hosting.meetergo.appointments) == bookings
    assert ("Booked:" in done.stdout) == bool(bookings)


def test_a_booking_that_cannot_be_looked_up_keeps_its_unknown_outcome(hosting: Operator) -> None:
    start = first_slot(hosting)
    hosting.meetergo.inject_faults(BOOK, "commit_then_fail")
    hosting.meetergo.inject_faults("GET /v4/appointment/paginated", InjectedAnswer(403, b"{}"))
    done = hosting.run("book", "1", "--start", start, "--email", "guest-1@example.com", "--name", "Guest")
    assert done.exit_code == 1
    assert "check whether it was applied before a retry" in done.stderr
    assert len(hosting.meetergo.appointments) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["slots", "2"], "there is no platform user '2'"),
        (["book", "1", "--start", "tomorrow", "--email", "g@example.com", "--name", "G"], "not a time with an offset"),
        (["templates", "assign", "no id!", "1"], "this is not the id of a template"),
    ],
)
def test_an_error_gives_a_message(hosting: Operator, words: list[str], sentence: str) -> None:
    done = hosting.run(*words)
    assert done.exit_code in (1, 2)
    assert sentence in done.stderr


def test_no_response_gives_an_error_message(open_operator: Callable[..., Operator], meetergo: Sandbox) -> None:
    operator = open_operator(meetergo, MEETERGO_API_URL="http://127.0.0.1:1")
    operator.settings["MEETERGO_API_USER"] = "admin"
    done = operator.run("templates", "create", "--name", "x", "--duration", "30")
    assert done.exit_code == 1
    assert "meetergo did not answer POST /v4/meeting-type-template/create (ConnectError at 127.0.0.1: " in done.stderr
