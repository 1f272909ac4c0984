"""The roster: a file of hosts, one a line, read from CSV or JSON; and the lines that failed, written as CSV."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from console.entry import ALSO_CALLED, COLUMNS, NEEDED, Entry

NOTES = ("line", "error")
"""Columns that say which line failed and why: they are written, and not read."""
SURPLUS = ""
"""Under this name are the cells that have no column."""


class Unreadable(ValueError):
    """The file as a whole is no roster; says why."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        number: in a CSV file, of the line where it begins; in a JSON file, of the entry, from 1.
        cells: column -> what is there.
        entry: what it says; None if it cannot be used.
        fault: why not.
    """

    number: int
    cells: Mapping[str, Any]
    entry: Entry | None = None
    fault: str = ""


def read_roster(path: Path) -> list[Line]:
    """All lines, the bad ones too.

    Raises:
        Unreadable: it is no roster.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("the file is not UTF-8: save it as 'CSV UTF-8'") from None
    raw = _json(text) if path.suffix.lower() == ".json" else _csv(text)
    return list(_first_of_each([_line(number, cells) for number, cells in raw]))


def write_failed(path: Path, failed: Sequence[tuple[Line, str]]) -> None:
    """Writes the lines that failed with their reasons, readable as a roster again; the file goes if none did."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *NOTES])
        for line, reason in failed:
            writer.writerow(
                [*(_cell(line.cells.get(name)) for name in COLUMNS), line.number, reason, *line.cells.get(SURPLUS, ())]
            )
    aside.replace(path)


def _csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        names = [_column(name) for name in next(reader, [])]
        _check_columns(names)
        number = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                yield number, dict(zip(names, row, strict=False)) | {SURPLUS: row[len(names) :]}
            number = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num} is no CSV: {error}") from None


def _delimiter(text: str) -> str:
    """Spreadsheets in German write semicolons."""
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _check_columns(names: Sequence[str]) -> None:
    for name in names:
        if name not in (*COLUMNS, *NOTES):
            raise Unreadable(f"there is no column '{name}'; there are: {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise Unreadable(f"the column '{name}' is there twice")
    if missing := [name for name in NEEDED if name not in names]:
        raise Unreadable(f"a column is missing: {', '.join(missing)}")


def _json(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"the file is no JSON: {error}") from None
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise Unreadable("a JSON file should hold a list of objects, one for each host")
    for number, item in enumerate(content, 1):
        yield number, {_column(name): value for name, value in item.items()}


def _column(name: str) -> str:
    name = name.strip().lower()
    return ALSO_CALLED.get(name, name)


def _line(number: int, cells: dict[str, Any]) -> Line:
    if cells.get(SURPLUS):
        return Line(number, cells, fault="it has more cells than there are columns")
    said = {name: value for name, value in cells.items() if name not in (*NOTES, SURPLUS) and not _is_blank(value)}
    try:
        return Line(number, cells, Entry.model_validate(said))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        return Line(number, cells, fault="; ".join(map(_sentence, faults)))


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _sentence(fault: Any) -> str:
    name = str(fault["loc"][0])
    known = {"missing": f"{name} is missing", "extra_forbidden": f"there is no column '{name}'"}
    return known.get(fault["type"]) or f"{name}: {fault['msg'].removeprefix('Value error, ')}"


def _first_of_each(lines: Sequence[Line]) -> Iterator[Line]:
    """The first line of a host counts."""
    emails: dict[str, int] = {}
    ids: dict[str, int] = {}
    for line in lines:
        if line.entry is None:
            yield line
            continue
        others = emails.get(line.entry.email.casefold()), ids.get(line.entry.external_id)
        if any(others):
            what, number = ("e-mail", others[0]) if others[0] else ("external_id", others[1])
            yield Line(line.number, line.cells, fault=f"its {what} is that of line {number}")
            continue
        emails[line.entry.email.casefold()] = ids[line.entry.external_id] = line.number
        yield line


def _cell(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
