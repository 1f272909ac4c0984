"""`notifications preview`: every kind of mail with the platform's settings, and nothing is sent."""

import re
import stat
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from icalendar import Calendar

from models.notification import Notification
from tests.console.cli import ON_SQLITE, SECRETS, run_cli, run_cli_in
from tests.worker.harness import Harness

SENDER = {"MAIL_FROM": "Muster <bookings@muster.example>"}
KINDS = ["created", "rescheduled", "updated", "cancelled", "attendee_left", "summary", "handed_over"]
WITH_INVITE = [kind for kind in KINDS if kind != "summary"]


def preview(folder: Path, *words: str, **settings: str | None) -> "CompletedProcess[str]":
    """Run the command where there is no store: no settings but those of mails."""
    return run_cli_in(folder, "notifications", "preview", *words, **{**SENDER, **settings})


def test_every_kind_is_shown_without_a_store(tmp_path: Path) -> None:
    done = preview(tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^--- (.+) ---$", done.stdout, re.MULTILINE) == [
        kind.replace("_", " ")
        for kind in ["created", "rescheduled", "updated", "cancelled", "handed_over", "attendee_left", "summary"]
    ]
    assert "From: Muster <bookings@muster.example>\n" in done.stdout
    assert "Reply-To: Jane Doe <jane.doe@guests.example>\n" in done.stdout
    assert "This meeting takes place with another host.\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_form_of_every_kind_is_written_into_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "preview"
    done = preview(tmp_path, "--output", str(folder))

    assert done.stdout == f"Wrote 27 files to {folder}. Nothing was sent.\n"
    forms = [f"{kind}.{form}" for kind in KINDS for form in ("eml", "html", "txt")]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*forms, *(f"{kind}.ics" for kind in WITH_INVITE)])
    for kind in KINDS:
        mail = message_from_bytes((folder / f"{kind}.eml").read_bytes(), policy=default)
        assert mail["From"] == "Muster <bookings@muster.example>"
        html = mail.get_body(["html"])  # type: ignore[attr-defined] # it is an EmailMessage
        assert html.get_content().replace("\r\n", "\n").strip() == (folder / f"{kind}.html").read_text()
        assert "<!doctype html>" in (folder / f"{kind}.html").read_text()
    methods = {kind: str(Calendar.from_ical((folder / f"{kind}.ics").read_bytes())["METHOD"]) for kind in WITH_INVITE}
    assert {kind for kind, method in methods.items() if method == "CANCEL"} == {"cancelled", "handed_over"}


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    preview(tmp_path, "--output", "new", "--kind", "created")
    (tmp_path / "old").mkdir(mode=0o755)
    preview(tmp_path, "--output", "old", "--kind", "created")

    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "old").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("language", "timezone", "subject"),
    [
        ("de-AT", "Europe/Vienna", r"Subject: Verschoben: Discovery Call mit Jane Doe \(.+ \d\d:00 Uhr\)"),
        ("en", "Europe/Vienna", r"Subject: Rescheduled: Discovery Call with Jane Doe \(\w+, \d+ \w+, \d\d:00\)"),
        ("en", "America/New_York", r"Subject: Rescheduled: Discovery Call with Jane Doe \(\w+, \w+ \d+, \d:00 AM\)"),
    ],
)
def test_language_and_time_zone_can_be_chosen(language: str, timezone: str, subject: str, tmp_path: Path) -> None:
    done = preview(tmp_path, "--kind", "rescheduled", "--language", language, "--timezone", timezone)

    assert re.search(subject, done.stdout)
    assert "--- " not in done.stdout


@pytest.mark.parametrize(
    ("form", "beginning"),
    [("html", "<!doctype html>\n"), ("ics", "BEGIN:VCALENDAR\n"), ("eml", "Subject: New booking"), ("text", "From: ")],
)
def test_the_terminal_shows_one_form(form: str, beginning: str, tmp_path: Path) -> None:
    assert preview(tmp_path, "--kind", "created", "--format", form).stdout.startswith(beginning)


def test_a_summary_has_no_calendar_entry(tmp_path: Path) -> None:
    assert preview(tmp_path, "--kind", "summary", "--format", "ics").stdout == "(no calendar entry)\n"


def test_the_platforms_settings_and_templates_are_used(tmp_path: Path) -> None:
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "subject.txt").write_text("[Muster] {{ title }}")
    settings = {"MAIL_TEMPLATES": "mails", "MAIL_COLOR": "fa0", "MAIL_REPLY_TO_GUEST": "False", "MAIL_NAME": "M & P"}

    text = preview(tmp_path, "--kind", "created", **settings).stdout
    html = preview(tmp_path, "--kind", "created", "--format", "html", **settings).stdout
    assert "Subject: [Muster] Discovery Call with Jane Doe\n" in text
    assert "Reply-To" not in text
    assert "background-color: #ffaa00" in html
    assert "color: #000000" in html
    assert "M &amp; P" in html


def test_the_logo_shows_in_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "logo.gif").write_bytes(b"GIF89a\x10\0\x10\0\0\0\0;")

    html = preview(tmp_path, "--kind", "created", "--format", "html", MAIL_LOGO="logo.gif").stdout
    assert '<img class="logo" src="data:image/gif;base64,R0lGODlhEAAQAAAAADs="' in html
    assert "cid:" not in html


def test_without_a_sender_a_sample_one_is_shown(tmp_path: Path) -> None:
    done = preview(tmp_path, "--kind", "created", MAIL_FROM=None)

    assert done.stdout.startswith("From: Bookings <bookings@platform.example>\n")
    assert done.stderr == "MAIL_FROM is not set: this shows Bookings <bookings@platform.example>.\n"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"MAIL_FROM": "Bookings"}, "set MAIL_FROM to an address"),
        ({"MAIL_LOGO": "nowhere.png"}, "MAIL_LOGO cannot be used: nowhere.png cannot be read"),
        ({"MAIL_COLOR": "green"}, "MAIL_COLOR cannot be used: it should be a colour"),
        ({"MAIL_TEMPLATES": "broken"}, "MAIL_TEMPLATES cannot be used: cancelled.html, line 2: 'nobody' is undefined"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_sentence(settings: dict[str, str], reason: str, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cancelled.html").write_text("<p>\n{{ nobody }}")

    done = preview(tmp_path, **settings)
    assert done.returncode == 2
    assert done.stderr.startswith(reason)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = preview(tmp_path, "--output", "file/below")

    assert done.returncode == 1
    assert done.stderr == "Error: file/below cannot be written: Not a directory\n"


@ON_SQLITE
def test_a_real_booking_is_shown_with_its_last_changes(sample_data: Harness) -> None:
    before = len(sample_data.all(Notification))
    done = run_cli("notifications", "preview", "--booking", "b1", "--kind", "rescheduled", "--kind", "cancelled")

    assert done.exit_code == 0, done.stderr
    assert "Previously: " in done.stdout
    assert not [secret for secret in SECRETS if secret in done.output]
    assert len(sample_data.all(Notification)) == before


@ON_SQLITE
def test_a_real_booking_without_a_host_is_shown_as_to_a_shared_address(sample_data: Harness) -> None:
    done = run_cli("notifications", "preview", "--booking", "unhosted-1")

    assert done.exit_code == 0, done.stderr
    assert "Hello" not in done.stdout
    assert "https://zoom.example/j/1?pwd=***" in done.stdout
    assert not [secret for secret in SECRETS if secret in done.output]
    assert done.stdout.count("--- ") == 7


@ON_SQLITE
def test_a_real_booking_can_be_shown_in_another_language(sample_data: Harness) -> None:
    done = run_cli("notifications", "preview", "--booking", "b1", "--language", "de", "--kind", "created")

    assert "Subject: Neue Buchung: " in done.stdout
    assert "(Europe/Berlin)" in done.stdout


@ON_SQLITE
def test_an_unknown_booking_is_one_sentence(sample_data: Harness) -> None:
    done = run_cli("notifications", "preview", "--booking", "nothing-like-it")

    assert done.exit_code == 1
    assert done.stderr == "Error: there is no booking whose id is nothing-like-it, or begins with it\n"


@ON_SQLITE
def test_a_template_that_fails_with_a_real_booking_names_file_and_line(
    sample_data: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subject.txt").write_text("\n{{ title if booking.id[5:] else nothing }}")
    monkeypatch.setenv("MAIL_TEMPLATES", str(tmp_path))

    done = run_cli("notifications", "preview", "--booking", "b1", "--kind", "created")
    assert done.exit_code == 1
    assert "Error: created: MAIL_TEMPLATES cannot be used: subject.txt, line 2: 'nothing' is undefined" in done.stderr
