"""`deliveries ignore` and `notifications ignore`: close dead rows that will never succeed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.cli.audit import BY_OPTION
from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.cli.filters import DEAD_OPTION, filters, require_selector, row_search
from console.cli.stores import worker_services
from console.render.tables import as_json, print_json
from operations.text import count

if TYPE_CHECKING:
    from models.claim import RowType
    from operations.replay.service import ReplayService

REASON_OPTION = click.option("--reason", required=True, metavar="TEXT", help="Why it will never succeed; recorded.")


@click.command()
@click.argument("ids", nargs=-1, type=completion.DELIVERY, metavar="[ID]...")
@DEAD_OPTION
@filters
@REASON_OPTION
@YES_OPTION
@BY_OPTION
@as_json
def ignore(ids: tuple[str, ...], dead: bool, reason: str, yes: bool, by: str, as_json: bool, **chosen: Any) -> None:
    """Close dead deliveries that will never succeed, so that `status` stops reporting them.

    Select them by ID (a prefix is enough), by filters, or with --dead.
    """
    from models.delivery import Delivery
    from operations import lookup as known_ids
    from operations.replay.service import ReplayService

    _require_selector(ids, dead, chosen, as_json=as_json, yes=yes)
    with worker_services() as services:
        with services.database.read_only() as session:
            search = row_search(session, chosen | {"status": "dead"})
            query = search.deliveries().with_only_columns(Delivery.id).order_by(None)
            found = known_ids.delivery_ids(session, ids) if ids else session.scalars(query).all()
        _ignore(ReplayService(services, by, reason), found, Delivery, as_json=as_json, confirm=not (ids or yes))


@click.command("ignore")
@click.argument("ids", nargs=-1, type=completion.NOTIFICATION, metavar="[ID]...")
@DEAD_OPTION
@filters
@REASON_OPTION
@YES_OPTION
@BY_OPTION
@as_json
def ignore_notifications(
    ids: tuple[str, ...], dead: bool, reason: str, yes: bool, by: str, as_json: bool, **chosen: Any
) -> None:
    """Close dead notifications that will never be sent, so that `status` stops reporting them.

    Select them by ID (a number, or msg_...), by filters, or with --dead.
    """
    from models.notification import Notification
    from operations import lookup as known_ids
    from operations.replay.service import ReplayService

    _require_selector(ids, dead, chosen, as_json=as_json, yes=yes)
    with worker_services() as services:
        with services.database.read_only() as session:
            search = row_search(session, chosen | {"status": "dead"})
            query = search.notifications().with_only_columns(Notification.id).order_by(None)
            named = [known_ids.find_notification(session, each).id for each in ids]
            found = named or session.scalars(query).all()
        _ignore(ReplayService(services, by, reason), found, Notification, as_json=as_json, confirm=not (ids or yes))


def _require_selector(ids: Sequence[str], dead: bool, chosen: dict[str, Any], *, as_json: bool, yes: bool) -> None:
    require_selector(ids, dead, chosen)
    if chosen["status"] not in (None, "dead"):
        raise click.UsageError(f"--status {chosen['status']}: only what is dead can be ignored")
    if as_json and not (yes or ids):
        raise click.UsageError("--json cannot ask: add --yes")


def _ignore(
    replay_service: ReplayService,
    found: Sequence[Any],
    target: RowType,
    *,
    as_json: bool,
    confirm: bool,
) -> None:
    from operations.replay.selection import CHUNK_SIZE, pages
    from operations.replay.service import NotDead

    noun = (target.__name__.lower(), target.__tablename__)
    if found and confirm:
        confirm_or_exit(f"Ignore {count(len(found), *noun)}?")
    closed: list[str] = []
    try:
        for chunk in pages(found, CHUNK_SIZE):
            closed += replay_service.ignore(chunk, datetime.now(UTC), target).ids
    except NotDead as error:
        changed = f"{count(len(closed), *noun)} before it were ignored" if closed else "nothing was changed"
        raise click.ClickException(f"{error}; {changed}") from error
    if as_json:
        print_json({"ignored": closed, "redis_answers": True})  # kept for scripts: Redis is not asked any more
        return
    for key in closed:
        click.echo(f"{key} is done: ignored.")
    if not found:
        click.echo("There is nothing to ignore.")
