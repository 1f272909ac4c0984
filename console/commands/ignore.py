"""`deliveries ignore` and `notifications ignore`: close what is dead and will never work."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from console.cli.audit import BY, operators_office
from console.cli.confirm import confirm_or_exit
from console.cli.filters import filters, search_for
from console.commands.replay import must_be_meant
from console.render.tables import as_json, print_json
from console.render.text import count
from models.delivery import Delivery
from models.notification import Notification
from models.search import RowSearch
from operations import lookup as known_ids
from operations.replay.selection import CHUNK
from operations.replay.service import NotDead, ReplayResult, ReplayService

REASON = click.option("--reason", required=True, metavar="TEXT", help="Why it will never work; it is kept.")
DEAD = click.option("--dead", is_flag=True, help="All that are dead; with filters, the dead ones among those.")
YES = click.option("--yes", is_flag=True, help="Do not confirm_or_exit.")


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@DEAD
@filters
@REASON
@YES
@BY
@as_json
def ignore(ids: tuple[str, ...], dead: bool, reason: str, yes: bool, by: str, as_json: bool, **chosen: Any) -> None:
    """Close dead deliveries that will never work, so that they call for nobody any more.

    Name them by ID (the first characters will do), by filters, or with --dead.
    """
    _must_be_meant(ids, dead, chosen, as_json=as_json, yes=yes)
    with operators_office() as office:
        with office.database.reading() as session:
            query = _search(session, chosen).deliveries().with_only_columns(Delivery.id).order_by(None)
            found = known_ids.delivery_ids(session, ids) if ids else session.scalars(query).all()
        _ignore(
            ReplayService(office, by, reason),
            found,
            "delivery",
            ReplayService.ignore,
            as_json=as_json,
            asks=not (ids or yes),
        )


@click.command("ignore")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@DEAD
@filters
@REASON
@YES
@BY
@as_json
def ignore_notifications(
    ids: tuple[str, ...], dead: bool, reason: str, yes: bool, by: str, as_json: bool, **chosen: Any
) -> None:
    """Close dead notifications that will never be sent, so that they call for nobody any more.

    Name them by ID (a number, or msg_...), by filters, or with --dead.
    """
    _must_be_meant(ids, dead, chosen, as_json=as_json, yes=yes)
    with operators_office() as office:
        with office.database.reading() as session:
            query = _search(session, chosen).notifications().with_only_columns(Notification.id).order_by(None)
            named = [known_ids.find_notification(session, each).id for each in ids]
            found = named or session.scalars(query).all()
        repair = ReplayService(office, by, reason)
        close = ReplayService.ignore_notifications
        _ignore(repair, found, "notification", close, as_json=as_json, asks=not (ids or yes))


def _must_be_meant(ids: Sequence[str], dead: bool, chosen: dict[str, Any], *, as_json: bool, yes: bool) -> None:
    must_be_meant(ids, dead, chosen)
    if chosen["status"] not in (None, "dead"):
        raise click.UsageError(f"--status {chosen['status']}: only what is dead can be ignored")
    if as_json and not (yes or ids):
        raise click.UsageError("--json cannot confirm_or_exit: add --yes")


def _search(session: Session, chosen: dict[str, Any]) -> RowSearch:
    booking = known_ids.booking_id(session, chosen["booking_id"])
    return search_for(**chosen | {"status": "dead", "booking_id": booking})


def _ignore(
    repair: ReplayService,
    found: Sequence[Any],
    what: str,
    close: Callable[[ReplayService, Sequence[Any], datetime], ReplayResult],
    *,
    as_json: bool,
    asks: bool,
) -> None:
    if found and asks:
        confirm_or_exit(f"Ignore {count(len(found), what)}?")
    closed: list[str] = []
    has_heard = True
    try:
        for some in _chunks(found):
            done = close(repair, some, datetime.now(UTC))
            closed, has_heard = [*closed, *done.ids], has_heard and done.heard
    except NotDead as error:
        changed = f"{count(len(closed), what)} before it were ignored" if closed else "nothing was changed"
        raise click.ClickException(f"{error}; {changed}") from error
    if as_json:
        print_json({"ignored": closed, "redis_answers": has_heard})
        return
    for key in closed:
        click.echo(f"{key} is done: ignored.")
    if not found:
        click.echo("There is nothing to ignore.")
    if not has_heard:
        click.echo("Redis does not answer: it leaves RQ's failed jobs when it is back.")


def _chunks(found: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(found), CHUNK):
        yield found[start : start + CHUNK]
