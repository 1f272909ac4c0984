"""Paging of lists: each page names the command that shows the next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from console.cli.arguments import options

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session


paging_options = options(
    click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of rows."),
    click.option("--before", metavar="ID", help="Continue after this row of an earlier page."),
)


def fetch_page(session: Session, query: Select[Any], limit: int) -> tuple[Sequence[Any], int]:
    """Return the first rows, and the number of remaining ones."""
    from sqlalchemy import func

    rows = session.scalars(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, 0
    count = query.order_by(None).with_only_columns(func.count(), maintain_column_froms=True)
    return rows[:limit], max(1, (session.scalar(count) or 0) - limit)


def next_page_command(context: click.Context, last: str) -> str:
    """Return the command as typed, continued after a row."""
    arguments: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        is_typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_typed and name not in ("before", "as_json"):
            arguments += [option.opts[0], _option_text(context.params[name])]
    return f"{context.command_path} {shlex.join([*arguments, '--before', last])}"


def _option_text(value: Any) -> str:
    """Format an option's value. An age becomes a fixed time, so that later pages start from the same moment."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
