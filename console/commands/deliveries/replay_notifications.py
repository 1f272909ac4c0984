"""`notifications replay`: send dead notifications, and on request those already sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.cli.audit import audited
from console.cli.confirm import JSON_OPTION, YES_OPTION, check_can_ask, confirm_or_exit
from console.cli.filters import DEAD_OPTION, filters, require_selector, row_search
from console.cli.stores import worker_services
from console.render import tables
from console.render.tables import Column, print_json
from operations.text import count, printable

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Select

    from models.notification import Notification
    from operations.replay.service import ReplayService
    from operations.serialize import Json
    from worker.services import Services

COLUMNS = [
    Column("id", is_number=True),
    Column("booking", wraps=True),
    Column("kind"),
    Column("channel"),
    Column("recipient", wraps=True),
    Column("why", wraps=True),
]
MAX_SHOWN = 20


@click.command("replay")
@click.argument("ids", nargs=-1, type=completion.NOTIFICATION, metavar="[ID]...")
@DEAD_OPTION
@filters
@click.option("--again", is_flag=True, help="Also those already sent: they are sent once more.")
@click.option("--superseded", is_flag=True, help="Also those that something newer has superseded.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and do nothing.")
@YES_OPTION
@JSON_OPTION
@audited
def replay_notifications(
    ids: tuple[str, ...],
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
    """Send dead notifications; with --again, also those already sent.

    Select them by ID (a number, or msg_...), by filters, or with --dead.

    A notification that is sent again gets a new message id, so that the recipient does not treat it as a repeat.
    """
    from operations.replay.service import ReplayService
    from operations.serialize import notification_to_json

    require_selector(ids, dead, chosen)
    check_can_ask(as_json, yes, dry_run)
    console = tables.screen(quiet=as_json)
    with worker_services() as services:
        rows, outdated = _found(services, ids, chosen | ({"status": "dead"} if dead else {}))
        selected = [row for row in rows if row.status == "dead" or (again and row.status == "done")]
        to_send = [row for row in selected if superseded or row.id not in outdated]
        _show(console, rows, to_send, again)
        result: Json = {"notifications": [notification_to_json(row) for row in to_send]}
        if to_send and not dry_run:
            if not yes:
                confirm_or_exit(f"\nSend {count(len(to_send), 'notification')}?")
            replay_service = ReplayService(services, by, reason, resend=again, superseded=superseded)
            result |= _send(console, replay_service, [row.id for row in to_send])
        unsent = [row for row in selected if row not in to_send]
        _close_superseded(console, ReplayService(services, by, reason), unsent, dry_run)
    if as_json:
        print_json(result)


def _close_superseded(
    console: Console, replay_service: ReplayService, outdated: Sequence[Notification], dry_run: bool
) -> None:
    """Close dead notifications that are superseded; those already sent stay as they are."""
    if not outdated:
        return
    if not dry_run:
        replay_service.replay_notifications([row.id for row in outdated if row.status == "dead"], datetime.now(UTC))
    outcome = "would be closed, not sent" if dry_run else "closed, not sent"
    console.print(
        f"{count(len(outdated), 'notification')} {outcome}: something newer was sent since. "
        "Add --superseded to send it."
    )


def _found(
    services: Services, ids: tuple[str, ...], chosen: dict[str, Any]
) -> tuple[Sequence[Notification], Collection[int]]:
    """Return the selected notifications, and the ids of the superseded ones."""
    from models.notification import Notification
    from models.search import RowSearch
    from operations import lookup

    with services.database.read_only() as session:
        named = tuple(lookup.find_notification(session, each).id for each in ids)
        search = RowSearch(ids=named) if ids else row_search(session, chosen)
        query: Select[Any] = search.notifications().order_by(None).order_by(Notification.id)
        rows: Sequence[Notification] = session.scalars(query).all()
        outdated = {row.id for row in rows if row.status != "pending" and row.is_superseded(session)}
    return rows, outdated


def _show(console: Console, rows: Sequence[Notification], to_send: Sequence[Notification], again: bool) -> None:
    waiting = sum(row.status == "pending" for row in rows)
    if waiting:
        console.print(f"{count(waiting, 'notification')} left alone: pending, so they go out anyway.")
    already_sent = sum(row.status == "done" for row in rows)
    if already_sent and not again:
        console.print(f"{count(already_sent, 'notification')} left alone: already sent. Add --again to send once more.")
    if not to_send:
        console.print("There is nothing to send.")
        return
    console.print(f"{count(len(to_send), 'notification')} would be sent:\n")
    console.print(tables.listing(COLUMNS, [_line(row) for row in to_send[:MAX_SHOWN]]))
    if len(to_send) > MAX_SHOWN:
        console.print(f"... and {len(to_send) - MAX_SHOWN} more.")


def _line(row: Notification) -> list[str]:
    from operations.redact import redact_text

    why = "once more" if row.status == "done" else printable(redact_text(row.last_error or ""))
    return [str(row.id), printable(row.booking_id), row.kind, printable(row.channel), printable(row.recipient), why]


def _send(console: Console, replay_service: ReplayService, ids: Sequence[int]) -> Json:
    from operations.replay.selection import CHUNK_SIZE, pages

    sent: list[str] = []
    queue_reached = True
    for chunk in pages(ids, CHUNK_SIZE):
        chunk_result = replay_service.replay_notifications(chunk, datetime.now(UTC))
        sent, queue_reached = [*sent, *chunk_result.ids], queue_reached and chunk_result.queue_reached
    console.print(f"{count(len(sent), 'notification')} pending: a worker sends them next.")
    if not queue_reached:
        console.print("Redis does not answer, so no worker was triggered: the sweep does it when it is back.")
    return {"sent": [int(each) for each in sent], "workers_were_woken": queue_reached}
