"""`users sync|list|embed|brand`: the mapping follows meetergo's list, and nothing doubtful is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.send import samples
from models.platform_user import PlatformUser
from tests.console.cli import ON_SQLITE
from tests.console.conftest import Operator
from tests.worker.harness import AT, START, Harness


def add(operator: Operator, external_id: str, **columns: Any) -> None:
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id=external_id, **columns))


def row(operator: Operator, external_id: str) -> PlatformUser:
    (found,) = [user for user in operator.users() if user.external_id == external_id]
    return found


def test_sync_maps_by_email_and_fills_in_what_is_missing(operator: Operator) -> None:
    host = operator.meetergo.actions.add_host("host@example.com")
    add(operator, "1", email="Host@Example.com")
    done = operator.run("users", "sync")
    assert done.exit_code == 0, done.output
    assert "\n1 user of meetergo without a platform user.\n" in done.stdout, "the owner of the key"
    found = row(operator, "1")
    assert (found.meetergo_user_id, found.meetergo_meeting_type_id) == (host["userId"], host["meetingTypeId"])
    assert (found.name, found.email, found.booking_url) == ("The Host", "Host@Example.com", None)
    assert "All platform users are up to date." in operator.run("users", "sync").stdout
    operator.run("users", "sync", "--booking-root", "https://cal.meetergo.com/")
    assert row(operator, "1").booking_url == host["bookingUrl"]


@ON_SQLITE
def test_a_dry_run_changes_nothing(operator: Operator) -> None:
    operator.meetergo.actions.add_host("host@example.com")
    add(operator, "1", email="host@example.com")
    assert "1 mapped" in operator.run("users", "sync", "--dry-run").stdout
    assert row(operator, "1").meetergo_user_id is None


@ON_SQLITE
def test_sync_does_not_guess(operator: Operator) -> None:
    operator.meetergo.actions.add_host("host@example.com")
    for external_id in ("1", "2"):
        add(operator, external_id, email="host@example.com")
    done = operator.run("users", "sync", "--json")
    assert done.exit_code == 1
    assert [finding["kind"] for finding in json.loads(done.stdout)["findings"]] == ["ambiguous", "ambiguous"]
    assert not any(user.meetergo_user_id for user in operator.users())


@ON_SQLITE
def test_a_host_with_a_blank_address_is_no_user_of_meetergo_without_one(operator: Operator) -> None:
    host = operator.meetergo.actions.add_host("host@example.com")
    operator.meetergo.company.users[host["userId"]]["email"] = ""
    add(operator, "1", email=" ")
    assert "absent" in operator.run("users", "sync").stdout
    assert row(operator, "1").meetergo_user_id is None


def test_a_user_who_vanished_is_reported_and_one_who_came_back_is_found(operator: Operator) -> None:
    add(operator, "1", email="gone@example.com", meetergo_user_id="gone-1")
    add(operator, "2", email="host@example.com", meetergo_user_id="gone-2", booking_url="https://old.example/x")
    add(operator, "3", email="new@example.com")
    host = operator.meetergo.actions.add_host("host@example.com")
    done = operator.run("users", "sync")
    assert done.exit_code == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[:3]] == [
        ["vanished", "1:"],
        ["moved", "2:"],
        ["absent", "3:"],
    ]
    assert (row(operator, "1").meetergo_user_id, row(operator, "2").meetergo_user_id) == ("gone-1", host["userId"])


@ON_SQLITE
@pytest.mark.parametrize("answer", [InjectedAnswer(403), InjectedAnswer(404), InjectedAnswer(200, b"<html>")])
def test_a_host_whose_meeting_types_cannot_be_read_does_not_stop_the_others(
    operator: Operator, answer: InjectedAnswer
) -> None:
    for number in ("1", "2"):
        operator.meetergo.actions.add_host(f"host-{number}@example.com")
        add(operator, number, email=f"host-{number}@example.com")
    operator.meetergo.inject_faults("GET /v4/meeting-type", answer)
    done = operator.run("users", "sync")
    assert done.exit_code == 1
    assert "unread     1: its meeting types cannot be read: meetergo" in done.stdout
    assert [bool(user.meetergo_user_id) for user in operator.users()] == [False, True]
    assert operator.run("users", "sync").exit_code == 0
    assert row(operator, "1").meetergo_user_id


@ON_SQLITE
def test_names_are_adopted_only_on_request(operator: Operator) -> None:
    host = operator.meetergo.actions.add_host("host@example.com")
    add(operator, "1", email="host@example.com", name="Dr. Host", meetergo_user_id=host["userId"])
    operator.run("users", "sync")
    assert row(operator, "1").name == "Dr. Host"
    operator.run("users", "sync", "--names")
    assert row(operator, "1").name == "The Host"


def test_the_list_is_a_table_or_json(operator: Operator) -> None:
    assert "users onboard" in operator.run("users", "list").stdout
    add(operator, "4711", email="host@example.com", name="The Host")
    assert "4711" in operator.run("users", "list").stdout
    (listed,) = json.loads(operator.run("users", "list", "--json").stdout)["users"]
    assert (listed["external_id"], listed["meetergo_user_id"]) == ("4711", None)


@ON_SQLITE
def test_embed_prints_an_iframe_and_needs_no_key(operator: Operator) -> None:
    add(operator, "1", name='The "Host"', language="de", booking_url="https://cal.meetergo.com/the-host/erstberatung")
    done = operator.run("users", "embed", "1", meetergo_api_key="")
    assert done.stdout.startswith('<iframe src="https://cal.meetergo.com/the-host/erstberatung?embed=true"')
    assert 'title="Termin buchen bei The &quot;Host&quot;"' in done.stdout
    add(operator, "2")
    assert "no booking URL is known" in operator.run("users", "embed", "2").stderr
    assert "there is no platform user '3'" in operator.run("users", "embed", "3").stderr


@ON_SQLITE
def test_brand_changes_the_hosts_page(operator: Operator) -> None:
    host = operator.meetergo.actions.add_host("host@example.com")
    add(operator, "1", meetergo_user_id=host["userId"])
    done = operator.run("users", "brand", "1", "--primary-color", "#0066cc", "--json")
    assert json.loads(done.stdout)["primary_color"] == "#0066cc"
    page = operator.meetergo.company.personal_pages[host["userId"]]
    assert (page["primaryColor"], page["useCustomColors"]) == ("#0066cc", True)
    assert operator.run("users", "brand", "1").exit_code == 1
    operator.run("users", "brand", "1", "--header-image", "https://x.example/image.png")
    assert page["headerImage"] == "https://x.example/image.png"
    done = operator.run("users", "brand", "1", "--header-image", "", "--primary-color", "#00cc66")
    assert page["headerImage"] is None
    assert "The page is changed." in done.stdout
    assert "#00cc66" in done.stdout


@ON_SQLITE
@pytest.mark.parametrize("words", [["users", "list"], ["users", "sync"], ["users", "embed", "1"]])
def test_a_database_that_does_not_answer_gives_an_error_message(operator: Operator, words: list[str]) -> None:
    done = operator.run(*words, database_url="postgresql://127.0.0.1:1/x")
    assert done.exit_code == 1
    assert "the database does not answer" in done.stderr


@ON_SQLITE
def test_what_a_host_owns_is_said_before_it_is_forgotten(operator: Operator, harness: Harness) -> None:
    add(operator, "4711", meetergo_user_id=samples.HOST_ID)
    harness.process(samples.created("b1", START, AT), samples.created("b2", AT, AT))
    said = operator.run("users", "forget", "4711").stdout
    assert "It owns 2 bookings, 1 of them upcoming." in said


def test_a_host_whose_user_is_gone_is_forgotten_and_onboarded_again(operator: Operator, tmp_path: Path) -> None:
    add(operator, "4711", email="host@example.com", meetergo_user_id="gone", meetergo_meeting_type_id="gone-too")
    file = tmp_path / "hosts.csv"
    file.write_text("external_id,email,given_name,family_name\n4711,host@example.com,The,Host\n")
    assert "Known hosts were not looked up at meetergo" in operator.run("users", "onboard", str(file)).stdout
    (file.parent / "other.csv").write_text(
        "external_id,email,given_name,family_name\n4712,other@example.com,An,Other\n"
    )
    add(operator, "4712", email="other@example.com", meetergo_user_id="gone-4712")
    assert "users forget unmaps the host" in operator.run("users", "onboard", str(file.parent / "other.csv")).stdout
    assert "no longer in meetergo: `users forget` unmaps it" in operator.run("users", "sync").stdout
    done = operator.run("users", "forget", "4711")
    assert done.exit_code == 1
    assert "4711 will no longer be meetergo's user gone. It owns no bookings." in done.stdout
    assert row(operator, "4711").meetergo_user_id == "gone"
    done = operator.run("users", "forget", "4711", "--yes", "--by", "jane", "--reason", "left", "--json")
    assert json.loads(done.stdout) == {
        "external_id": "4711",
        "meetergo_user_id": "gone",
        "bookings": 0,
        "upcoming": 0,
        "forgotten": True,
    }
    assert (row(operator, "4711").meetergo_user_id, row(operator, "4711").email) == (None, "host@example.com")
    assert "there is nothing to forget" in operator.run("users", "forget", "4711", "--yes").stdout
    assert "there is no platform user '1'" in operator.run("users", "forget", "1", "--yes").stderr
    assert "1 created" in operator.run("users", "onboard", str(file)).stdout
    assert row(operator, "4711").meetergo_user_id in operator.meetergo.users
