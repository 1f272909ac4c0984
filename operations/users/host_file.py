"""The import file of hosts: read one host per line from CSV or JSON, and write failed lines as CSV."""

import csv
import json
import os
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from operations.text import count
from operations.users.host_entry import COLUMN_ALIASES, COLUMNS, REQUIRED_COLUMNS, HostEntry
from worker.channels import UnusableChannel, open_channel
from worker.settings import WorkerSettings

REPORT_COLUMNS = ("line", "error")
"""Columns with the failed line and its reason: written, and ignored when read."""
EXTRA_CELLS = ""
"""Key of the cells that have no column."""
NO_NAME = "(no name)"
"""Column of a JSON field whose name is blank: it is reported as one that does not exist."""
HOW_TO_SAVE = "in a spreadsheet, save it as 'CSV UTF-8' (LibreOffice: 'Text CSV' with the character set UTF-8)"
WORKBOOK_SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""Leading bytes of binary spreadsheet files."""
SEPARATOR_LINE = re.compile(r'"?sep=([^"])"?[;,\t]*', re.IGNORECASE)
"""A first line that tells Excel the delimiter."""
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
"""Leading characters that make a spreadsheet treat a cell as a formula."""
PLACEHOLDER_SETTINGS = {
    "redis_url": "redis://127.0.0.1",
    "smtp_url": "smtp://127.0.0.1",
    "mail_from": "bookings@example.com",
    "mail_logo": "",
    "mail_templates": "",
    "notify_signing_secret": ["whsec_" + "A" * 32],
}
"""Placeholder settings with which every well-formed channel opens."""


class HostFileError(ValueError):
    """The file is not a valid import file; the message says why."""


@dataclass(frozen=True)
class HostRow:
    """One line of the file.

    Attributes:
        number: in CSV, the line number where the row begins; in JSON, the entry's number, from 1.
        cells: column -> content.
        entry: the validated host; None if the line is invalid.
        error: why the line is invalid.
    """

    number: int
    cells: Mapping[str, Any]
    entry: HostEntry | None = None
    error: str = ""


def read_host_file(path: Path) -> list[HostRow]:
    """Read all lines, including invalid ones.

    Raises:
        HostFileError: it is not a valid import file.
    """
    try:
        text = _decode(path.read_bytes())
    except OSError as error:
        raise HostFileError(f"the file cannot be read: {error.strerror}") from None
    raw = _json(text) if path.suffix.lower() == ".json" else _csv(text)
    return list(_reject_duplicates([_host_row(number, cells) for number, cells in raw]))


def check_channels(lines: Sequence[HostRow], settings: WorkerSettings) -> tuple[list[HostRow], list[str]]:
    """Check every channel named in the lines by opening it.

    Returns:
        The lines, where a line with an unusable channel is now invalid; and a warning for each channel that needs a
            missing setting.
    """
    placeholder_settings = settings.model_copy(update=PLACEHOLDER_SETTINGS)
    needs_setting: Counter[tuple[str, str]] = Counter()
    checked = []
    for line in lines:
        bad: list[UnusableChannel] = []
        for url in (line.entry and line.entry.channels) or ():
            error = _problem(url, settings)
            if error and _problem(url, placeholder_settings):
                bad.append(error)
            elif error:
                needs_setting[url.partition(":")[0], str(error.__cause__ or error)] += 1
        checked.append(replace(line, entry=None, error=f"channels: {bad[0]}") if bad else line)
    return checked, [_warning(scheme, why, hosts, settings) for (scheme, why), hosts in needs_setting.items()]


def _warning(scheme: str, why: str, hosts: int, settings: WorkerSettings) -> str:
    lacks_server = scheme.lower() == "mailto" and not settings.smtp_url and "SMTP_URL" not in why
    missing = "SMTP_URL is not set, and " if lacks_server else ""
    return f"{count(hosts, 'host has', 'hosts have')} a channel '{scheme}:' that cannot be used yet: {missing}{why}"


def _problem(url: str, settings: WorkerSettings) -> UnusableChannel | None:
    try:
        open_channel(url, settings)
    except UnusableChannel as error:
        return error
    return None


def write_failed(path: Path, failed: Sequence[tuple[HostRow, str]]) -> None:
    """Write failed lines with their reasons, in a form that can be imported; delete the file if none failed."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *REPORT_COLUMNS])
        for line, reason in failed:
            writer.writerow(
                [
                    *(_escaped(_cell(line.cells.get(name))) for name in COLUMNS),
                    line.number,
                    _escaped(reason),
                    *map(_escaped, line.cells.get(EXTRA_CELLS, ())),
                ]
            )
    temporary.replace(path)


def _decode(content: bytes) -> str:
    """Decode UTF-8, or the UTF-16 of a spreadsheet's 'Unicode text'. Any other encoding would be a guess."""
    if content.startswith(WORKBOOK_SIGNATURES):
        raise HostFileError(f"the file is a workbook, not text: {HOW_TO_SAVE}")
    encoding = "utf-8-sig"
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\x00" in content[:2] and not content.startswith(BOM_UTF8):
        encoding = "utf-16-be" if content[:1] == b"\x00" else "utf-16-le"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise HostFileError(f"the file is not UTF-8: {HOW_TO_SAVE}") from None


def _csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = StringIO(text, newline="")
    skipped, delimiter = _find_header(text)
    reader = csv.reader(islice(lines, skipped, None), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        names = next((names for row in reader if any(names := list(map(_column, row)))), [])
        _check_columns(names)
        number = reader.line_num + 1
        for row in reader:
            cells = list(map(_cleaned, row))
            if any(cells):
                values = {name: cell for name, cell in zip(names, cells, strict=False) if name}
                surplus = [*(c for n, c in zip(names, cells, strict=False) if c and not n), *cells[len(names) :]]
                yield number + skipped, values | {EXTRA_CELLS: surplus if any(surplus) else []}
            number = reader.line_num + 1
    except csv.Error as error:
        raise HostFileError(f"line {reader.line_num + skipped} is not CSV: {error}") from None


def _find_header(text: str) -> tuple[int, str]:
    """Return the number of lines before the header, and the delimiter."""
    for number, line in enumerate(StringIO(text, newline="")):
        head = line.strip("\r\n")
        if match := SEPARATOR_LINE.fullmatch(head.strip(" \xa0")):
            return number + 1, match[1]
        if head.strip(' ,;\t"\xa0'):
            return number, _delimiter(head)
    return 0, ","


def _delimiter(head: str) -> str:
    """Detect the delimiter: German spreadsheets use semicolons."""
    return max(",;\t", key=head.count)


def _cleaned(cell: str) -> str:
    """Remove invisible characters, which come with what was pasted, and the quote that `_escaped` added."""
    cell = INVISIBLE_CHARACTERS.sub("", cell.replace("\xa0", " ")).strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_PREFIXES) else cell


INVISIBLE_CHARACTERS = re.compile(r"[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def _escaped(cell: str) -> str:
    """Escape a cell so that no spreadsheet treats it as a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_PREFIXES) else cell


def _check_columns(names: Sequence[str]) -> None:
    for name in filter(None, names):
        if name not in (*COLUMNS, *REPORT_COLUMNS):
            raise HostFileError(f"there is no column '{name}'; there are: {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise HostFileError(f"the column '{name}' is there twice")
    if missing := [name for name in REQUIRED_COLUMNS if name not in names]:
        raise HostFileError(f"a column is missing: {', '.join(missing)}")


def _json(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HostFileError(f"the file is not JSON: {error}") from None
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise HostFileError("a JSON file should hold a list of objects, one for each host")
    for number, item in enumerate(content, 1):
        yield number, {_column(name) or NO_NAME: value for name, value in item.items()}


def _column(name: str) -> str:
    name = re.sub(r"[\s-]+", "_", _cleaned(name).lower())
    return COLUMN_ALIASES.get(name, name)


def _host_row(number: int, cells: dict[str, Any]) -> HostRow:
    if cells.get(EXTRA_CELLS):
        return HostRow(number, cells, error="it has more cells than there are columns")
    values = {
        name: value
        for name, value in cells.items()
        if name not in (*REPORT_COLUMNS, EXTRA_CELLS) and not _is_blank(value)
    }
    try:
        return HostRow(number, cells, HostEntry.model_validate(values))
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        return HostRow(number, cells, error="; ".join(map(_error_message, errors)))


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _error_message(error: Any) -> str:
    name = str(error["loc"][0])
    known = {"missing": f"{name} is missing", "extra_forbidden": f"there is no column '{name}'"}
    return known.get(error["type"]) or f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _reject_duplicates(lines: Sequence[HostRow]) -> Iterator[HostRow]:
    """Reject repeated hosts: the first line counts."""
    emails: dict[str, int] = {}
    ids: dict[str, int] = {}
    for line in lines:
        if line.entry is None:
            yield line
            continue
        others = emails.get(line.entry.email.casefold()), ids.get(line.entry.external_id)
        if any(others):
            what, number = ("e-mail", others[0]) if others[0] else ("external_id", others[1])
            yield HostRow(line.number, line.cells, error=f"its {what} is that of line {number}")
            continue
        emails[line.entry.email.casefold()] = ids[line.entry.external_id] = line.number
        yield line


def _cell(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
