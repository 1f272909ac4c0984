"""A host file is read as a whole: each bad line has a message with its number, and the good ones remain usable."""

import json
from pathlib import Path

import pytest

from operations.users.host_file import HostFileError, read_host_file, write_failed
from operations.users.opening_hours import parse_hours

HEAD = "id,email,first_name,last_name"


def host_file(folder: Path, text: str, name: str = "hosts.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_have_the_number_of_their_first_line(tmp_path: Path) -> None:
    text = f'{HEAD}\r\n1,a@example.com,The,Host\r\n\r\n,,,\r\n2,b@example.com,"The\r\nsecond",Host\r\n3,c,The,Host\r\n'
    assert [(line.number, bool(line.entry)) for line in read_host_file(host_file(tmp_path, text))] == [
        (2, True),
        (5, True),
        (7, False),
    ]


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ("1,a.example.com,The,Host,,", "email: it is not an e-mail address"),
        ("1,mailto:a@example.com,The,Host,,", "email: it is not an e-mail address"),
        ("1,a@example..com,The,Host,,", "email: it is not an e-mail address"),
        ("1,(a)@example.com,The,Host,,", "email: it is not an e-mail address"),
        (",a@example.com,The,Host,,", "external_id is missing"),
        ("1,a@example.com,The,,,", "family_name is missing"),
        ("1,a@example.com,The,Host,Europe/Atlantis,", "timezone: it is not a time zone such as Europe/Berlin"),
        ("1,a@example.com,The,Host,,mon 9-17", "hours: 'mon 9-17' are not hours: write them like"),
        ("1,a@example.com,The,Host,,,x", "more cells than there are columns"),
        ("1,A@Example.com,The,Host,,\n2,a@example.com,The,Host,,", "its e-mail is that of line 2"),
        ("1,a@example.com,The,Host,,\n1,b@example.com,The,Host,,", "its external_id is that of line 2"),
    ],
)
def test_an_invalid_line_gives_an_error_message(tmp_path: Path, cells: str, error: str) -> None:
    last = read_host_file(host_file(tmp_path, f"{HEAD},timezone,hours\n{cells}\n"))[-1]
    assert last.entry is None
    assert error in last.error


@pytest.mark.parametrize(("typed", "kept"), [("de", "de"), ("en-GB", "en-GB"), ("de_AT", "de-AT")])
def test_a_language_may_have_a_region(tmp_path: Path, typed: str, kept: str) -> None:
    [line] = read_host_file(host_file(tmp_path, f"{HEAD},language\n1,a@example.com,The,Host,{typed}\n"))
    assert line.entry
    assert line.entry.language == kept


@pytest.mark.parametrize("typed", ["fr", "deutsch", "DE", "en-gb", "en-GBR"])
def test_any_other_language_gives_an_error_message(tmp_path: Path, typed: str) -> None:
    [line] = read_host_file(host_file(tmp_path, f"{HEAD},language\n1,a@example.com,The,Host,{typed}\n"))
    assert line.entry is None
    assert "language: a language is en or de, with a region" in line.error


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (f"{HEAD},timezome\n", "hosts.csv", "there is no column 'timezome'"),
        ("id,email\n", "hosts.csv", "a column is missing: given_name, family_name"),
        (f"{HEAD},external_id\n", "hosts.csv", "'external_id' is there twice"),
        ("", "hosts.csv", "a column is missing"),
        ('{"id": 1}', "hosts.json", "a list of objects"),
        ("[", "hosts.json", "not JSON"),
    ],
)
def test_an_invalid_host_file_gives_an_error_message(tmp_path: Path, text: str, name: str, said: str) -> None:
    with pytest.raises(HostFileError, match=said.replace("[", r"\[")):
        read_host_file(host_file(tmp_path, text, name))


def test_a_file_in_another_encoding_gives_an_error_message(tmp_path: Path) -> None:
    path = tmp_path / "hosts.csv"
    path.write_bytes(f"{HEAD}\n1,a@example.com,Jürgen,Host".encode("latin-1"))
    with pytest.raises(HostFileError, match="UTF-8"):
        read_host_file(path)


def test_a_spreadsheets_semicolons_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + HEAD.replace(",", ";") + ";hours\n1;a@example.com;The;Host;mon 09:00-10:00, tue 09:00-10:00\n"
    (line,) = read_host_file(host_file(tmp_path, text))
    assert line.entry
    assert set(line.entry.opening_hours().week) == {"monday", "tuesday"}


def test_columns_are_named_as_people_write_them(tmp_path: Path) -> None:
    head = "External ID,E-Mail,First Name,Last-Name,Meeting\u00a0Type,Time Zone"
    [line] = read_host_file(host_file(tmp_path, f"{head}\n1,a@example.com,The,Host,Talk,Europe/Vienna\n"))
    assert line.entry
    assert (line.entry.external_id, line.entry.name, line.entry.meeting_type) == ("1", "The Host", "Talk")
    assert line.entry.timezone == "Europe/Vienna"


def test_json_is_read_as_well_and_its_entries_are_numbered(tmp_path: Path) -> None:
    hosts = [
        {
            "external_id": 4711,
            "email": "a@example.com",
            "given_name": "The",
            "family_name": "Host",
            "channels": ["log:"],
        },
        {"external_id": "4712", "email": "b@example.com", "given_name": "The", "family_name": "Host", "colour": "red"},
    ]
    good, bad = read_host_file(host_file(tmp_path, json.dumps(hosts), "hosts.json"))
    assert good.entry
    assert (good.number, good.entry.external_id, good.entry.channels) == (1, "4711", ["log:"])
    assert (bad.number, bad.error) == (2, "there is no column 'colour'")


def test_the_failed_lines_are_a_valid_host_file(tmp_path: Path) -> None:
    text = f"{HEAD},channels\n1,a@example.com,The,Host,log: mailto:\n2,b,The,Host\n3,c@example.com,The,Host,,x\n"
    lines = read_host_file(host_file(tmp_path, text))
    failed = tmp_path / "hosts.failed.csv"
    write_failed(failed, [(line, line.error or "meetergo said no") for line in lines])
    first, second, third = read_host_file(failed)
    assert first.entry == lines[0].entry
    assert second.error == lines[1].error
    assert third.error == lines[2].error
    assert "meetergo said no" in failed.read_text()
    assert failed.stat().st_mode & 0o077 == 0
    write_failed(failed, [])
    assert not failed.exists()


def test_whatever_json_holds_can_be_written_as_a_failed_line(tmp_path: Path) -> None:
    hosts = r'[{"given_name": "\ud800ü"}, {"": 1, " ": {"a": [1]}}, {"channels": {"a": null}, "email": 1e999}]'
    lines = read_host_file(host_file(tmp_path, hosts, "hosts.json"))
    write_failed(tmp_path / "hosts.failed.csv", [(line, line.error) for line in lines])
    again = read_host_file(tmp_path / "hosts.failed.csv")
    assert [line.cells["given_name"] for line in again if line.cells["given_name"]] == ["\\ud800ü"]
    assert "there is no column '(no name)'" in lines[1].error


def test_hours_consist_of_days_and_times() -> None:
    assert parse_hours("Mon-Tue 13:00-17:00 09:00-12:00; sun-mon 20:00-21:00") == {
        "monday": [("09:00", "12:00"), ("13:00", "17:00"), ("20:00", "21:00")],
        "tuesday": [("09:00", "12:00"), ("13:00", "17:00")],
        "sunday": [("20:00", "21:00")],
    }


@pytest.mark.parametrize("text", ["mon", "mon 9:00-17:00", "xyz 09:00-17:00", "mon 17:00-09:00", "mon 09:00-25:00"])
def test_malformed_hours_give_an_error_message(text: str) -> None:
    with pytest.raises(ValueError, match="09:00"):
        parse_hours(text)


def test_overlapping_hours_are_rejected() -> None:
    with pytest.raises(ValueError, match="the hours of monday overlap"):
        parse_hours("mon 09:00-12:00; mon-tue 11:00-13:00")
