"""Host files as spreadsheets write them: read correctly or rejected with a message, never silently garbled."""

import csv
from io import StringIO
from pathlib import Path

import pytest

from operations.users.host_file import HostFileError, HostRow, check_channels, read_host_file, write_failed
from worker.settings import WorkerSettings

HEAD = "external_id;email;given_name;family_name;language"
ADA = "4711;ada@firm.example;Ada;Müller;de"


def read(folder: Path, content: str | bytes) -> list[HostRow]:
    path = folder / "hosts.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_host_file(path)


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (f"{HEAD}\r\n{ADA};;\r\n", 2),
        (f"{HEAD};;;\r\n{ADA};;;\r\n;;;;;;;\r\n", 2),
        (f";{HEAD}\r\n;{ADA}\r\n", 2),
        (f"sep=;\r\n{HEAD}\r\n{ADA}\r\n", 3),
        (f"\ufeffsep=;\r\n{HEAD}\r\n{ADA}\r\n", 3),
        (f'"sep=;"\r\n{HEAD}\r\n{ADA}\r\n', 3),
        (f"sep=,\r\n{HEAD}\r\n{ADA}\r\n".replace(";", ","), 3),
        (f"sep=|\n{HEAD}\n{ADA}\n".replace(";", "|"), 3),
        (f"sep=\t\r\n{HEAD}\r\n{ADA}\r\n".replace(";", "\t"), 3),
        (f'"sep=\t"\r\n{HEAD}\r\n{ADA}\r\n'.replace(";", "\t").encode("utf-16"), 3),
        (f"sep=;\r\n\r\n;;;;\r\n{HEAD}\r\n{ADA}\r\n", 5),
        (f"\r\n;;;;\r\n{HEAD}\r\n{ADA}\r\n", 4),
        (f"{HEAD}\r{ADA}\r", 2),
        (f"{HEAD}\n\n{ADA}", 3),
        (f"{HEAD}\r\n{ADA}\r\n".replace(";", "\t").encode("utf-16"), 2),
        (f"{HEAD}\r\n{ADA}\r\n".replace(";", "\t").encode("utf-16-le"), 2),
        (f"{HEAD}\r\n{ADA}\r\n".replace(";", "\t").encode("utf-16-be"), 2),
        (f"\ufeff{HEAD}\r\n{ADA}\r\n", 2),
        (f'"{HEAD}"\n"{ADA}"\n'.replace(";", '"; "'), 2),
        (f"{HEAD}\r\n\xa04711 ;\u200bada@firm.example;Ada\xa0;Mu\u0308ller;de\r\n", 2),
        (f"{HEAD}\r\n4711;\u202aada@firm.example\u202c;\u200eAda;Müller\u200f;\u2068de\u2069\r\n", 2),
        ('"external_id";" E-Mail";given_name;family_name;language\n'.replace(" E-Mail", " Email ") + ADA, 2),
    ],
)
def test_a_spreadsheets_file_is_read_correctly(content: str | bytes, number: int, tmp_path: Path) -> None:
    (line,) = read(tmp_path, content)
    assert line.entry, line.error
    said = line.entry
    assert (said.external_id, said.email, said.name) == ("4711", "ada@firm.example", "Ada Müller")
    assert (line.number, said.language) == (number, "de")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac_roman", "cp1250"])
def test_an_unknown_encoding_is_rejected(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(HostFileError, match="the file is not UTF-8: in a spreadsheet, save it as 'CSV UTF-8'"):
        read(tmp_path, f"{HEAD}\n{ADA}".encode(encoding))


@pytest.mark.parametrize("content", [b"PK\x03\x04\x14\x00", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_a_workbook_is_rejected(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(HostFileError, match="the file is a workbook"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("4711.0;ada@firm.example;Ada;Müller;de", "external_id: a spreadsheet turned it into a number"),
        ("4,71E+03;ada@firm.example;Ada;Müller;de", "external_id: a spreadsheet turned it into a number"),
        ("4711;ada@firm.example;Ada;MÃ¼ller;de", "family_name: it is garbled"),
        ("4711;ada@firm.example;Ada;M\ufffdller;de", "family_name: it is garbled"),
        ('4711;ada@firm.example;=HYPERLINK("http://x");Müller;de', "given_name: it begins with '='"),
        ("4711;ada@firm.example;#NAME?;Müller;de", "given_name: it is a spreadsheet error"),
        ("4711;ada@firm.example;Ada;Müller;de;;surplus", "it has more cells than there are columns"),
        ("4711;ada@firm.example;A\x07da;Müller;de", "given_name: it is garbled"),
    ],
)
def test_a_cell_that_a_spreadsheet_garbled_gives_an_error_message(line: str, fault: str, tmp_path: Path) -> None:
    (read_line,) = read(tmp_path, f"{HEAD}\n{line}\n")
    assert read_line.entry is None
    assert read_line.error.startswith(fault)


def test_a_cell_without_a_column_name_gives_an_error_message(tmp_path: Path) -> None:
    (line,) = read(tmp_path, f"{HEAD};;\n{ADA};;surplus\n")
    assert line.error == "it has more cells than there are columns"


def test_failed_lines_hold_no_formula_and_are_read_back_unchanged(tmp_path: Path) -> None:
    lines = read(tmp_path, f'{HEAD}\n-1;x;"=1+1";@b;de\n')
    failed = tmp_path / "hosts.failed.csv"
    write_failed(failed, [(line, line.error) for line in lines])
    rows = list(csv.DictReader(StringIO(failed.read_text(encoding="utf-8"))))
    assert [rows[0][name] for name in ("external_id", "given_name", "family_name")] == ["'-1", "'=1+1", "'@b"]
    (again,) = read_host_file(failed)
    assert (again.cells["external_id"], again.cells["given_name"]) == ("-1", "=1+1")


def settings(**values: str) -> WorkerSettings:
    return WorkerSettings(_env_file=None, redis_url="redis://127.0.0.1", **values)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("url", ["ftp://x", "mailt:", "mailto:nobody", "slack://x", "https:", "nothing://"])
def test_an_unusable_channel_is_rejected_with_its_line(url: str, tmp_path: Path) -> None:
    lines, warnings = check_channels(read(tmp_path, f"{HEAD};channels\n{ADA};log: {url}\n"), settings())
    assert lines[0].entry is None
    assert lines[0].number == 2
    assert lines[0].error.startswith("channels: ")
    assert not warnings


def test_a_channel_that_needs_a_missing_setting_is_a_warning_that_names_it(tmp_path: Path) -> None:
    text = f"{HEAD};channels\n{ADA};mailto:\n4712;b@firm.example;B;B;de;mailto: https://h.example/x\n"
    lines, warnings = check_channels(read(tmp_path, text), settings())
    assert all(line.entry for line in lines)
    assert [warning.partition(" a channel")[0] for warning in warnings] == ["2 hosts have", "1 host has"]
    assert "SMTP_URL is not set" in warnings[0]
    assert "NOTIFY_SIGNING_SECRET" in warnings[1]
    usable = settings(smtp_url="smtp://h", mail_from="a@b.example", notify_signing_secret="whsec_" + "A" * 32)
    assert check_channels(lines, usable)[1] == []


def test_the_example_names_no_channel_that_needs_a_setting() -> None:
    example = read_host_file(Path(__file__).parent.parent.parent / "examples" / "hosts.csv")
    lines, warnings = check_channels(example, settings())
    assert all(line.entry for line in lines)
    assert not warnings
