"""`users onboard`: each host of a file becomes one user in meetergo and one row here, whatever goes wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.processes import environment
from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox, sandbox
from devtools.sandbox.state.company import Plan
from meetergo.api import Meetergo
from models.account import DEFAULT
from models.booking import Booking
from models.platform_user import PlatformUser
from operations.users.directory import Directory
from operations.users.host_entry import HostEntry
from operations.users.onboarding import Onboarding
from tests.another_database import another_database
from tests.console.cli import ON_SQLITE
from tests.console.conftest import Operator
from tests.discarding_trigger import REFUSE, discarding
from tests.payloads import payload
from tests.worker.harness import Harness
from worker.maintenance.sweeper import link_new_users

HEAD = "external_id,email,given_name,family_name,timezone,language,hours,meeting_type,meeting_duration,meeting_slug\n"
ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
CREATE, LIST = "POST /v4/user", "GET /v4/user"
ADMINS = 1


def line(number: int, **cells: str) -> str:
    usual = {
        "external_id": str(number),
        "email": f"host-{number}@example.com",
        "given_name": "The",
        "family_name": f"Host {number}",
        "timezone": "Europe/Vienna",
        "language": "de",
        "hours": "mon-thu 09:00-18:00; fri 09:00-17:00",
        "meeting_type": "Erstberatung",
        "meeting_duration": "45",
        "meeting_slug": f"host-{number}-erstberatung",
    }
    return ",".join({**usual, **cells}.values()) + "\n"


def hosts(folder: Path, count: int) -> Path:
    path = folder / "hosts.csv"
    path.write_text(HEAD + "".join(line(number) for number in range(1, count + 1)))
    return path


def lines_of(failed: Path) -> list[tuple[str, str]]:
    with failed.open(newline="") as file:
        return [(row["external_id"], row["line"]) for row in csv.DictReader(file)]


def emails(meetergo: Sandbox) -> list[str]:
    return sorted(user["email"] for user in meetergo.users.values() if user["userType"] == "api-platform")


def test_a_host_is_a_user_with_hours_and_a_first_meeting_type_and_a_row(operator: Operator, tmp_path: Path) -> None:
    done = operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("1 created, 0 adopted, 0 known before, 0 failed.")
    (row,) = operator.users()
    user = operator.meetergo.users[str(row.meetergo_user_id)]
    meeting_type = operator.meetergo.meeting_types[str(row.meetergo_meeting_type_id)]
    hours = operator.meetergo.company.availabilities[meeting_type["availabilityId"]]
    assert (row.external_id, row.email, row.name) == ("1", "host-1@example.com", "The Host 1")
    assert (row.timezone, row.language, row.channels) == ("Europe/Vienna", "de", None)
    assert (user["email"], user["timezone"]) == (row.email, "Europe/Vienna")
    assert (meeting_type["meetingInfo"]["name"], meeting_type["meetingInfo"]["duration"]) == ("Erstberatung", 45)
    assert row.booking_url == f"https://cal.meetergo.com/{user['slug']}/host-1-erstberatung"
    assert len(hours["schedule"]) == 7
    assert hours["schedule"]["friday"] == {"enabled": True, "hours": [{"start": "09:00", "end": "17:00"}]}
    assert hours["schedule"]["sunday"]["enabled"] is False


def test_a_second_run_changes_nothing(operator: Operator, tmp_path: Path) -> None:
    file = str(hosts(tmp_path, 5))
    operator.run("users", "onboard", file)
    before = operator.meetergo.requests.copy()
    assert "0 created, 0 adopted, 5 known before" in operator.run("users", "onboard", file).stdout
    assert operator.meetergo.requests - before == {"GET /v4/user/me": 1}
    assert (operator.request_count(CREATE), operator.request_count(LIST)) == (5, 1)


@ON_SQLITE
@pytest.mark.parametrize("act", ["commit_then_fail", "commit_then_drop"])
def test_a_user_created_with_unknown_outcome_is_adopted(operator: Operator, tmp_path: Path, act: str) -> None:
    operator.meetergo.inject_faults(CREATE, None, act)
    done = operator.run("users", "onboard", str(hosts(tmp_path, 3)), "--booking-root", "https://cal.meetergo.com")
    assert "2 created, 1 adopted" in done.stdout
    assert (operator.request_count(CREATE), operator.request_count(LIST)) == (3, 2)
    first, second, _ = operator.users()
    meeting_type = operator.meetergo.meeting_types[str(second.meetergo_meeting_type_id)]
    assert meeting_type["userId"] == second.meetergo_user_id
    assert second.booking_url == str(first.booking_url).replace("-1", "-2")


@ON_SQLITE
def test_a_create_whose_outcome_stays_unknown_is_not_repeated_in_the_same_run(
    operator: Operator, tmp_path: Path
) -> None:
    operator.meetergo.inject_faults(CREATE, "fail")
    file = str(hosts(tmp_path, 2))
    done = operator.run("users", "onboard", file)
    assert (done.exit_code, operator.request_count(CREATE), operator.request_count(LIST)) == (1, 2, 2)
    assert "1 created" in done.stdout
    assert "line 2: it is unknown whether meetergo created the user, who is not listed: run it again" in done.stdout
    assert lines_of(tmp_path / "hosts.failed.csv") == [("1", "2")]
    assert "1 created, 0 adopted, 1 known before" in operator.run("users", "onboard", file).stdout


@ON_SQLITE
def test_a_user_who_appears_after_the_response_is_awaited_and_adopted(operator: Operator) -> None:
    entry = HostEntry.model_validate(
        {"external_id": "1", "email": "host-1@example.com", "given_name": "The", "family_name": "Host"}
    )
    operator.meetergo.inject_faults(CREATE, "fail")

    def made_late() -> None:
        operator.meetergo.actions.add_host(entry.email)

    with Meetergo(operator.meetergo.key, base_url=operator.meetergo.url) as client:
        admin = client.as_user(client.users.me().id)
        onboarding = Onboarding(admin, operator.database, Directory(admin), wait=made_late, account=DEFAULT)
        assert onboarding.apply(entry) == "adopted"
    assert operator.request_count(CREATE) == 1
    assert emails(operator.meetergo) == [entry.email]


def map_host(operator: Operator, user_id: str) -> None:
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id="1", meetergo_user_id=user_id))


@ON_SQLITE
def test_a_mapped_host_keeps_that_user_whatever_the_e_mail(operator: Operator, tmp_path: Path) -> None:
    made = operator.meetergo.actions.add_host("old-address@example.com")
    map_host(operator, made["userId"])
    done = operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    assert "0 created, 1 adopted" in done.stdout
    assert (operator.request_count(CREATE), emails(operator.meetergo)) == (0, ["old-address@example.com"])
    (row,) = operator.users()
    assert (row.meetergo_user_id, row.meetergo_meeting_type_id) == (made["userId"], made["meetingTypeId"])


@ON_SQLITE
def test_a_host_mapped_to_an_unknown_user_fails_and_creates_no_user(operator: Operator, tmp_path: Path) -> None:
    map_host(operator, "nobody")
    done = operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    assert done.exit_code == 1
    assert (
        "line 2: its meetergo_user_id is not a user of the company: if the user is new, run this again" in done.stdout
    )
    assert operator.request_count(CREATE) == 0


@ON_SQLITE
def test_an_existing_user_of_meetergo_is_adopted(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.actions.add_host("HOST-1@example.com", meetingType={"name": "Erstberatung"})
    assert "0 created, 1 adopted" in operator.run("users", "onboard", str(hosts(tmp_path, 1))).stdout
    (row,) = operator.users()
    assert row.booking_url is None
    assert row.meetergo_meeting_type_id
    assert operator.request_count(CREATE) == 0


def test_an_existing_row_keeps_what_the_file_does_not_name(operator: Operator, tmp_path: Path) -> None:
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id="1", email="host-1@example.com", language="de", channels=["log:"]))
    file = tmp_path / "hosts.csv"
    file.write_text("id,email,first_name,last_name\n1,host-1@example.com,The,Host\n")
    assert operator.run("users", "onboard", str(file)).exit_code == 0
    (row,) = operator.users()
    assert (row.language, row.channels, row.meetergo_user_id is None) == ("de", ["log:"], False)


@ON_SQLITE
def test_bad_lines_are_reported_with_their_numbers_and_can_be_retried_alone(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "hosts.csv"
    file.write_text(
        HEAD + line(1) + line(2, email="nobody") + line(3, meeting_duration="3") + line(4, email="host-1@example.com")
    )
    done = operator.run("users", "onboard", str(file), "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["created"], [failed["line"] for failed in said["failed"]]) == (1, [3, 4, 5])
    failed = tmp_path / "hosts.failed.csv"
    assert lines_of(failed) == [("2", "3"), ("3", "4"), ("4", "5")]
    failed.write_text(failed.read_text().replace("nobody", "host-2@example.com"))
    assert operator.run("users", "onboard", str(failed), "--lines", "2").exit_code == 0
    assert len(lines_of(failed)) == 3, "a run of some lines leaves the file alone"
    assert operator.run("users", "onboard", str(failed)).exit_code == 1
    assert lines_of(failed) == [("3", "3"), ("4", "4")]
    assert [row.external_id for row in operator.users()] == ["1", "2"]


@ON_SQLITE
def test_a_line_that_meetergo_rejects_does_not_stop_the_others(operator: Operator, tmp_path: Path) -> None:
    refusal = json.dumps({"statusCode": 400, "message": ["host-1@example.com is not good"]}).encode()
    operator.meetergo.inject_faults(CREATE, InjectedAnswer(400, refusal))
    done = operator.run("users", "onboard", str(hosts(tmp_path, 2)))
    assert done.exit_code == 1
    assert "line 2: meetergo answered 400" in done.stdout
    assert "host-1@" not in done.output
    assert operator.run("users", "onboard", str(hosts(tmp_path, 2)), "--lines", "2").exit_code == 0
    assert emails(operator.meetergo) == ["host-1@example.com", "host-2@example.com"]


def test_a_line_that_the_database_refuses_does_not_stop_the_others(operator: Operator, tmp_path: Path) -> None:
    with discarding(operator.database, "platform_users", when="NEW.email = 'host-1@example.com'", how=REFUSE):
        done = operator.run("users", "onboard", str(hosts(tmp_path, 2)))
    assert (done.exit_code, [row.external_id for row in operator.users()]) == (1, ["2"])
    assert "line 2: the database refuses this host: refused" in done.stdout
    assert operator.run("users", "onboard", str(hosts(tmp_path, 2))).stdout.startswith("0 created, 1 adopted, 1 known")


@ON_POSTGRESQL
@pytest.mark.parametrize("how", ["RAISE 'refused' USING ERRCODE = 'LAW01'", "ASSERT false", "RETURN NULL"])
def test_in_whatever_way_a_trigger_refuses_one_line_the_others_go_on(
    operator: Operator, tmp_path: Path, how: str
) -> None:
    with discarding(
        operator.database, "platform_users", when="NEW.email = 'host-1@example.com'", how={"postgresql": how}
    ):
        done = operator.run("users", "onboard", str(hosts(tmp_path, 2)))
    assert (done.exit_code, [row.external_id for row in operator.users()]) == (1, ["2"])
    assert "line 2: the database refuses this host: " in done.stdout


@ON_SQLITE
def test_a_line_that_the_databases_encoding_cannot_write_does_not_stop_the_others(
    open_operator: Callable[..., Operator], meetergo: Sandbox, postgresql_url: str, tmp_path: Path
) -> None:
    (tmp_path / "hosts.csv").write_text(HEAD + line(1, external_id="ł") + line(2, family_name="Ł") + line(3))
    with another_database(postgresql_url, "latin1", "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0") as url:
        operator = open_operator(meetergo, DATABASE_URL=url)
        operator.run("migrate")
        done = operator.run("users", "onboard", "hosts.csv")
        assert "1 created, 0 adopted, 0 known before, 2 failed." in done.stdout
        assert (
            "0 would be created, 1 would be adopted, 1 known before, 1 failed."
            in operator.run("users", "onboard", "hosts.csv", "--dry-run").stdout
        )


@ON_SQLITE
def test_a_taken_slug_fails_only_that_line(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "hosts.csv"
    file.write_text(
        "id,email,first_name,last_name,slug\n1,a@example.com,The,Host,the-host\n2,b@example.com,The,Host,the-host\n"
    )
    done = operator.run("users", "onboard", str(file))
    assert done.exit_code == 1
    assert "line 3: meetergo answered 409" in done.stdout
    assert len(operator.users()) == 1


@ON_SQLITE
def test_a_user_whose_meeting_types_are_forbidden_fails_only_that_line(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.actions.add_host("host-1@example.com")
    operator.meetergo.inject_faults(
        "GET /v4/meeting-type", InjectedAnswer(403, b'{"statusCode":403,"message":"Forbidden"}')
    )
    done = operator.run("users", "onboard", str(hosts(tmp_path, 3)))
    assert done.exit_code == 1
    assert "2 created, 0 adopted, 0 known before, 1 failed" in done.stdout
    assert "line 2: meetergo denies access to this user's meeting types" in done.stdout
    assert lines_of(tmp_path / "hosts.failed.csv") == [("1", "2")]


@ON_SQLITE
@pytest.mark.parametrize("what", ["key", "plan"])
def test_an_error_that_would_fail_every_line_stops_the_run(
    open_operator: Callable[..., Operator], tmp_path: Path, what: str
) -> None:
    faults = FaultPlan(expire_key=5 if what == "key" else 0)
    with sandbox(faults, plan=Plan(users=3 if what == "plan" else None)) as meetergo:
        operator = open_operator(meetergo)
        done = operator.run("users", "onboard", str(hosts(tmp_path, 20)))
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "18 are left" in done.stderr
    assert "0 failed" in done.stdout
    assert len(operator.users()) == 2
    assert "Error: line 4: " in done.stderr.replace("MEETERGO_API_KEY: ", "")
    assert lines_of(tmp_path / "hosts.failed.csv") == [(str(number), str(number + 1)) for number in range(3, 21)]


@ON_SQLITE
def test_a_provider_that_is_down_stops_the_run(operator: Operator, tmp_path: Path) -> None:
    file = str(hosts(tmp_path, 50))
    operator.meetergo.inject_faults(LIST, *[InjectedAnswer(500)] * 5)
    done = operator.run("users", "onboard", file)
    assert done.exit_code == 1
    assert "no usable answer for 5 lines in a row. 45 are left" in done.stderr
    assert not operator.users()


@ON_SQLITE
@pytest.mark.parametrize("answer", [InjectedAnswer(500), InjectedAnswer(302)])
def test_a_provider_that_creates_nobody_stops_the_run(
    operator: Operator, tmp_path: Path, answer: InjectedAnswer
) -> None:
    """Each such line waits, and reads the whole list of users again: a file of thousands would take days."""
    operator.meetergo.inject_faults(CREATE, *[answer] * 5)
    done = operator.run("users", "onboard", str(hosts(tmp_path, 50)))
    assert done.exit_code == 1
    assert "no usable answer for 5 lines in a row. 45 are left" in done.stderr
    assert operator.request_count(CREATE) == 5
    assert len(lines_of(tmp_path / "hosts.failed.csv")) == 50


@ON_SQLITE
def test_one_line_that_is_left_is_counted_as_one(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.inject_faults(LIST, InjectedAnswer(403))
    done = operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    assert "1 is left: run it again" in done.stderr


@ON_SQLITE
def test_a_dry_run_shows_what_it_would_do(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.actions.add_host("host-1@example.com")
    done = operator.run("users", "onboard", str(hosts(tmp_path, 3)), "--dry-run")
    assert "2 would be created, 1 would be adopted" in done.stdout
    assert (operator.request_count(CREATE), operator.users()) == (0, [])
    assert not (tmp_path / "hosts.failed.csv").exists()


def test_two_platform_users_never_share_a_user_of_meetergo(operator: Operator, tmp_path: Path) -> None:
    operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    file = tmp_path / "others.csv"
    file.write_text(HEAD + line(9, email="host-1@example.com"))
    done = operator.run("users", "onboard", str(file))
    assert done.exit_code == 1
    assert "belongs to '1' already" in done.stdout
    assert len(operator.users()) == 1


def test_bookings_that_waited_for_a_host_are_linked(operator: Operator, harness: Harness, tmp_path: Path) -> None:
    host = operator.meetergo.actions.add_host("host-1@example.com")
    harness.process(payload("booking_created", id="b1", hostIds=[host["userId"]], hosts=[{"id": host["userId"]}]))
    assert harness.booking().platform_user_id is None
    operator.run("users", "onboard", str(hosts(tmp_path, 1)))
    link_new_users(harness.services, harness.booking().updated_at)
    (row,) = operator.users()
    assert [booking.platform_user_id for booking in harness.all(Booking)] == [row.id]


@ON_SQLITE
def test_two_hundred_hosts_are_onboarded_once_through_limits_failures_and_a_crash(
    open_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    too_many = InjectedAnswer(429, b"", {"Retry-After": "0"})
    with sandbox(FaultPlan(seed=11, fail=0.02, commit_then_fail=0.1)) as meetergo:
        meetergo.inject_faults(CREATE, *[None, too_many, None, "commit_then_fail", too_many, None, "fail"] * 20)
        meetergo.inject_faults(LIST, None, InjectedAnswer(500), None, InjectedAnswer(500))
        operator, file = open_operator(meetergo), hosts(tmp_path, 200)
        crashed = _kill_at(operator, file, 90)
        assert crashed == -signal.SIGKILL
        assert 0 < len(operator.users()) < 200
        runs = 0
        while operator.run("users", "onboard", str(file)).exit_code:
            runs += 1
            assert runs < 8
        assert emails(meetergo) == sorted(f"host-{number}@example.com" for number in range(1, 201))
        assert len(meetergo.users) == 200 + ADMINS
        by_email = {user["email"]: user["id"] for user in meetergo.users.values()}
        rows = operator.users()
        assert {row.email: row.meetergo_user_id for row in rows} == {
            email: by_email[email] for email in emails(meetergo)
        }
        assert len(rows) == 200
        for row in rows:
            assert meetergo.meeting_types[str(row.meetergo_meeting_type_id)]["userId"] == row.meetergo_user_id
        assert len(meetergo.meeting_types) == 200 + ADMINS
    assert not (tmp_path / "hosts.failed.csv").exists()


def _kill_at(operator: Operator, file: Path, count: int) -> int:
    """Onboard in a process of its own, and kill it once N users exist."""
    env = {**os.environ, "PYTHONPATH": environment({})["PYTHONPATH"], **operator.settings}
    delay = "consistency.READ_AFTER_WRITE_DELAY = timedelta()"
    at_once = f"from datetime import timedelta; from operations import consistency; {delay}"
    program = f"{at_once}; from console.__main__ import cli; cli()"
    command = [sys.executable, "-c", program, "users", "onboard", str(file)]
    with subprocess.Popen(
        command, cwd=file.parent, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 60
        while len(operator.meetergo.users) < count and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    return process.returncode


@ON_SQLITE
def test_lines_that_do_not_exist_or_are_no_numbers_are_refused(operator: Operator, tmp_path: Path) -> None:
    file = hosts(tmp_path, 2)
    refused = operator.run("users", "onboard", str(file), "--lines", "2-3,7,9")
    assert (refused.exit_code, "hosts.csv has nothing in line 7, 9" in refused.stderr) == (1, True)
    for numbers in ("x", "", "3-2", "0", "2-9999999999"):
        done = operator.run("users", "onboard", str(file), "--lines", numbers)
        assert f"'{numbers}' is not a list of line numbers" in done.stderr
    assert emails(operator.meetergo) == []


@ON_SQLITE
def test_a_channel_that_will_not_work_is_a_warning(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "hosts.csv"
    file.write_text(HEAD.replace("\n", ",channels\n") + line(1).replace("\n", ",mailto:\n"))
    done = operator.run("users", "onboard", str(file), "--dry-run")
    assert done.exit_code == 0, done.output
    assert "Warning: " in done.stderr


@ON_SQLITE
def test_a_row_of_another_person_or_another_user_is_not_taken_over(operator: Operator, tmp_path: Path) -> None:
    operator.meetergo.actions.add_host("host-2@example.com")
    mapped = operator.meetergo.actions.add_host("host-3@example.com")
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id="1", email="somebody@example.com"))
        session.add(PlatformUser(external_id="other", meetergo_user_id=mapped["userId"]))
    done = operator.run("users", "onboard", str(hosts(tmp_path, 3)))
    assert "line 2: another e-mail is known for this external_id: correct one of the two" in done.stdout
    assert "line 4: meetergo's user of this e-mail belongs to 'other' already" in done.stdout
    assert "0 created, 1 adopted, 0 known before, 2 failed." in done.stdout
    assert {row.external_id: bool(row.meetergo_user_id) for row in operator.users()} == {
        "1": False,
        "2": True,
        "other": True,
    }


@ON_SQLITE
def test_of_many_failed_lines_the_first_are_shown_and_all_are_written(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "hosts.csv"
    file.write_text(HEAD + "".join(line(number, email="nobody") for number in range(25)))
    done = operator.run("users", "onboard", str(file))
    assert "  and 5 more" in done.stdout
    assert len(lines_of(tmp_path / "hosts.failed.csv")) == 25
