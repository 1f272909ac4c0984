"""`notifications replay`: sends what could not be sent, and on purpose what was told already."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Select, select

from console.cli.audit import audited, operators_office
from console.cli.confirm import confirm_or_exit
from console.cli.filters import filters, search_for
from console.commands.replay import must_be_meant
from console.render.tables import print_json
from console.render.text import count, safe
from models.notification import Notification
from operations.redact import masked_text
from operations.replay.selection import CHUNK
from operations.replay.service import ReplayService
from operations.serialize import Json, of_notification
from worker.services import Services

SHOWN = 20


@click.command("replay")
@click.argument("ids", nargs=-1, type=click.IntRange(1, 2**31 - 1), metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that are dead; with filters, the dead ones among those.")
@filters
@click.option("--again", is_flag=True, help="Those that were told too: they are told once more.")
@click.option("--superseded", is_flag=True, help="Also those of which something newer was told since.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not confirm_or_exit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes or --dry-run.")
@audited
def replay_notifications(
    ids: tuple[int, ...],
    dead: bool,
    again: bool,
    superseded: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    by: str,
    reason: str,
    **chosen: Any,
) -> None:
    """Send notifications that are dead; with --again, also those that were told already.

    A notification that is told once more has a new message id, so that who receives it does not take it for a repeat.
    """
    must_be_meant(ids, dead, chosen)
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json cannot confirm_or_exit: add --yes or --dry-run")
    console = Console(quiet=as_json, highlight=False)
    with operators_office() as office:
        rows, old = _found(office, ids, chosen | ({"status": "dead"} if dead else {}))
        meant = [row for row in rows if row.status == "dead" or (again and row.status == "done")]
        to_send = [row for row in meant if superseded or row.id not in old]
        _show(console, rows, to_send, again)
        told: Json = {"notifications": [of_notification(row) for row in to_send]}
        if to_send and not dry_run:
            if not yes:
                confirm_or_exit(f"\nSend {count(len(to_send), 'notification')}?")
            repair = ReplayService(office, by, reason, tells_again=again, superseded=superseded)
            told |= _send(console, repair, [row.id for row in to_send])
        _close(
            console, office, ReplayService(office, by, reason), [row for row in meant if row not in to_send], dry_run
        )
    if as_json:
        print_json(told)


def _close(
    console: Console, office: Services, repair: ReplayService, old: Sequence[Notification], dry_run: bool
) -> None:
    """What is dead and not the latest any more has come to its end; what was told is left as it is."""
    if not old:
        return
    if not dry_run:
        repair.replay_notifications([row.id for row in old if row.status == "dead"], datetime.now(UTC))
    said = "would be closed, not sent" if dry_run else "closed, not sent"
    console.print(
        f"{count(len(old), 'notification')} {said}: something newer was told since. Add --superseded to send it."
    )


def _found(
    office: Services, ids: Sequence[int], chosen: dict[str, Any]
) -> tuple[Sequence[Notification], Collection[int]]:
    """Those that are meant, and the ids of those which are not the latest any more."""
    query: Select[Any] = search_for(**chosen).notifications()
    if ids:
        query = select(Notification).where(Notification.id.in_(ids))
    with office.database.reading() as session:
        rows: Sequence[Notification] = session.scalars(query.order_by(None).order_by(Notification.id)).all()
        old = {row.id for row in rows if row.status != "pending" and row.is_superseded(session)}
    missing = sorted({*ids} - {row.id for row in rows})
    if missing:
        raise click.ClickException(f"there is no notification {missing[0]}: `notifications list` shows their ids")
    return rows, old


def _show(console: Console, rows: Sequence[Notification], to_send: Sequence[Notification], again: bool) -> None:
    waiting = sum(row.status == "pending" for row in rows)
    if waiting:
        console.print(f"{count(waiting, 'notification')} left alone: pending, so they go out anyway.")
    told = sum(row.status == "done" for row in rows)
    if told and not again:
        console.print(f"{count(told, 'notification')} left alone: told already. Add --again to tell it once more.")
    if not to_send:
        console.print("There is nothing to send.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for title in ("id", "booking", "news", "by", "to", ""):
        table.add_column(title, overflow="fold")
    for row in to_send[:SHOWN]:
        why = "once more" if row.status == "done" else safe(masked_text(row.last_error or ""))
        table.add_row(str(row.id), safe(row.booking_id), row.kind, safe(row.channel), safe(row.recipient), why)
    console.print(f"{count(len(to_send), 'notification')} would be sent:\n")
    console.print(table)
    if len(to_send) > SHOWN:
        console.print(f"... and {len(to_send) - SHOWN} more.")


def _send(console: Console, repair: ReplayService, ids: Sequence[int]) -> Json:
    sent: list[str] = []
    heard = True
    for start in range(0, len(ids), CHUNK):
        repaired = repair.replay_notifications(ids[start : start + CHUNK], datetime.now(UTC))
        sent, heard = [*sent, *repaired.ids], heard and repaired.heard
    console.print(f"{count(len(sent), 'notification')} pending: a worker sends them next.")
    if not heard:
        console.print("Redis does not answer, so no worker heard of it: the schedule wakes them when it is back.")
    return {"sent": [int(each) for each in sent], "workers_were_woken": heard}
