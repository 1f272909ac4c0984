"""`deliveries ignore`: closes dead deliveries that will never work."""

from datetime import UTC, datetime

import click

from console.ids import delivery_ids
from console.operator import BY, operators_office
from console.output import as_json, print_json
from worker.repair import NotDead, Repair


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reason", required=True, metavar="TEXT", help="Why it will never work; it is kept.")
@BY
@as_json
def ignore(ids: tuple[str, ...], reason: str, by: str, as_json: bool) -> None:
    """Close dead deliveries that will never work, so that they call for nobody any more."""
    with operators_office() as office:
        with office.database.reading() as session:
            found = delivery_ids(session, ids)
        try:
            closed = Repair(office, by, reason).ignore(found, datetime.now(UTC))
        except NotDead as error:
            raise click.ClickException(f"{error}; nothing was changed") from error
    if as_json:
        print_json({"ignored": closed.ids, "redis_answers": closed.heard})
        return
    for key in closed.ids:
        click.echo(f"{key} is done: ignored.")
    if not closed.heard:
        click.echo("Redis does not answer: it leaves RQ's failed jobs when it is back.")
