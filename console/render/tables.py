"""Output: tables on a terminal, without colours or truncation in a pipe, JSON on request."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

import click
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from operations.text import NO_VALUE

PIPE_WIDTH = 10_000
"""Width of a pipe, where nothing wraps."""
WIDE_TERMINAL = 110
"""Minimum terminal width for all columns."""

SAME_AS_ABOVE = Text("(the same)", style="dim")
STYLES = {"dead": "bold red", "pending": "yellow", "done": "green", "confirmed": "green", "cancelled": "red"}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Screen(Console):
    """Standard output. A reader that closed the pipe ends the command: see `console.app`."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise, instead of exiting with the code for "needs an operator"."""
        raise BrokenPipeError


@dataclass(frozen=True)
class Column:
    """A column of a list.

    Attributes:
        name: the heading.
        wraps: whether long values continue on the next line; ids and times do not.
        is_extra: whether a narrow terminal omits it.
        is_number: whether it holds numbers.
        collapses_repeats: whether a terminal omits a long value that equals the one above.
    """

    name: str
    wraps: bool = False
    is_extra: bool = False
    is_number: bool = False
    collapses_repeats: bool = False


def with_account(
    columns: Sequence[Column], lines: Iterable[Sequence[str | Text]], accounts: Sequence[str] | None
) -> tuple[Sequence[Column], list[Sequence[str | Text]]]:
    """Put a column with each row's account before the others; None for no such column."""
    if accounts is None:
        return columns, list(lines)
    return [Column("account"), *columns], [[name, *line] for name, line in zip(accounts, lines, strict=True)]


def screen(*, quiet: bool = False, markup: bool = False) -> Screen:
    """Return the console to print to, in a pipe without wrapping. A quiet one prints nothing."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Screen(width=width, highlight=False, markup=markup, emoji=False, quiet=quiet)


def show(*parts: RenderableType) -> None:
    """Print for people."""
    console = screen()
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text))
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)


def print_json(content: Any, *, one_line: bool = False) -> None:
    """Print JSON for scripts: times are ISO 8601 in UTC."""
    click.echo(json.dumps(content, indent=None if one_line else 2, default=_iso))


def listing(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Build a table."""
    chosen = [number for number, each in enumerate(columns) if screen().width >= WIDE_TERMINAL or not each.is_extra]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for each in (columns[number] for number in chosen):
        side: Literal["left", "right"] = "right" if each.is_number else "left"
        table.add_column(each.name, justify=side, no_wrap=not each.wraps, overflow="fold")
    above: Sequence[str | Text] = [""] * len(columns)
    for row in rows:
        table.add_row(
            *(
                SAME_AS_ABOVE if _repeats(columns[number], row[number], above[number]) else row[number]
                for number in chosen
            )
        )
        above = row
    return table


def _repeats(column: Column, cell: str | Text, above: str | Text) -> bool:
    return column.collapses_repeats and screen().is_terminal and cell == above and len(cell) > len(SAME_AS_ABOVE)


def fields(content: Mapping[str, str | Text | None]) -> Table:
    """Build a list of names and values, one per line; unknown values are omitted."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, item in content.items():
        if item not in (None, NO_VALUE):
            table.add_row(f"  {name}", item)
    return table


def title(text: str) -> Text:
    """Build a section heading."""
    return Text(f"\n{text}", style="bold")


def status(word: str) -> Text:
    """Render a status in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def _iso(content: Any) -> str:
    if isinstance(content, datetime):
        return content.astimezone(UTC).isoformat()
    raise TypeError(f"{type(content).__name__} cannot be printed as JSON")
