"""`runs`: list, show and cancel runs, which the web page and `replay --in-background` start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from console.app import CommandGroup
from console.cli.audit import BY_OPTION
from console.cli.page import fetch_page, next_page_command, paging_options
from console.cli.stores import open_database, read_only_session
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, count, printable, when

if TYPE_CHECKING:
    from models.run import Run

COLUMNS = [
    Column("run", is_number=True),
    Column("started"),
    Column("what"),
    Column("status"),
    Column("rows", is_number=True),
    Column("by", is_extra=True),
    Column("reason", wraps=True),
]

CHANGED = {"replay": "start over", "send_again": "sent again"}


@click.command("list")
@paging_options
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool) -> None:
    """List runs, the latest first."""
    from sqlalchemy import select

    from models.run import Run
    from operations.runs.store import find_run
    from operations.serialize import run_to_json

    with read_only_session() as session:
        query = select(Run).order_by(Run.id.desc())
        if before:
            query = query.where(Run.id < find_run(session, _run_id(before)).id)
        found, remaining = fetch_page(session, query, limit)
    if as_json:
        last = found[-1].id if remaining else None
        tables.print_json({"runs": [run_to_json(run) for run in found], "next": last})
        return
    if not found:
        click.echo(f"There was no run. Start one: {CONSOLE_COMMAND} replay --dead --in-background --reason TEXT")
        return
    now = datetime.now(UTC)
    tables.show(tables.listing(COLUMNS, [_line(run, now) for run in found]))
    if remaining:
        click.echo(f"\n{remaining} more: {next_page_command(context, str(found[-1].id))}")


@click.command()
@click.argument("run_id", metavar="RUN", type=click.IntRange(1, 2**31 - 1))
@as_json
def show(run_id: int, as_json: bool) -> None:
    """Show one run: its progress and its result."""
    from operations.redact import redact_text
    from operations.runs.store import NOUNS, find_run
    from operations.serialize import run_to_json

    with read_only_session() as session:
        run = find_run(session, run_id)
    if as_json:
        tables.print_json(run_to_json(run))
        return
    now = datetime.now(UTC)
    tables.show(Text(f"run {run.id}: {_verb(run)} {count(run.total, *NOUNS[run.target])}", style="bold"))
    tables.show(
        tables.fields(
            {
                "status": run.status + (f" by {printable(run.cancelled_by)}" if run.cancelled_by else ""),
                "handled": f"{run.position} of {run.total}",
                CHANGED.get(run.kind, "closed"): str(run.changed),
                "messages" if run.kind == "send_again" else "sent once more": str(run.resent),
                "left alone": str(run.skipped),
                "now": ", ".join(f"{number} {status}" for status, number in run.outcome.items()) or "-",
                "at most": f"{run.per_hour / 3600:g} per second" if run.per_hour else "-",
                "by": printable(run.by),
                "reason": printable(redact_text(run.reason)),
                "started": when(run.created_at, now),
                "ended": when(run.ended_at, now),
                "error": printable(run.error or "-"),
            }
        )
    )


@click.command()
@click.argument("run_id", metavar="RUN", type=click.IntRange(1, 2**31 - 1))
@BY_OPTION
@as_json
def cancel(run_id: int, by: str, as_json: bool) -> None:
    """Cancel a run. What it has done is not undone."""
    from operations.runs.store import NOUNS, cancel_run
    from operations.serialize import run_to_json
    from runtime.settings import DatabaseSettings

    with (
        open_database(DatabaseSettings.load()) as database,
        database.transaction() as session,
    ):
        run = cancel_run(session, run_id, by, datetime.now(UTC))
    if as_json:
        tables.print_json(run_to_json(run))
    else:
        click.echo(f"Run {run_id} is cancelled: {run.position} of {count(run.total, *NOUNS[run.target])} were handled.")


runs = CommandGroup(
    "runs", commands=[list_command, show, cancel], help="List, show and cancel runs, which go on in the background."
)


def _run_id(text: str) -> int:
    """Parse a run's number; 0, which no run has, if it is none."""
    return int(text) if text.isdecimal() and len(text) < 11 else 0


def _verb(run: Run) -> str:
    """Return what the run does, as the command is called."""
    return run.kind.replace("_", "-")


def _line(run: Run, now: datetime) -> list[Any]:
    from operations.redact import redact_text

    return [
        str(run.id),
        age(run.created_at, now),
        f"{_verb(run)} {run.target}",
        run.status,
        f"{run.position}/{run.total}",
        printable(run.by),
        printable(redact_text(run.reason)),
    ]
