"""Looking up: from what somebody types of an id to the delivery that is meant."""

from collections.abc import Iterable

import click
from sqlalchemy.orm import Session

from models.delivery import SHORTEST_PREFIX, Delivery


def delivery_named(session: Session, typed: str) -> Delivery:
    """The one delivery whose id begins so.

    Raises:
        click.ClickException: there is none, or there are several.
    """
    if len(typed) < SHORTEST_PREFIX:
        raise click.ClickException(f"'{typed}' is too short for an id: type its first {SHORTEST_PREFIX} characters")
    found = Delivery.by_prefix(session, typed)
    if not found:
        raise click.ClickException(f"no delivery has an id that begins with '{typed}'")
    if len(found) > 1:
        begin = ", ".join(row.id[: len(typed) + 4] for row in found)
        raise click.ClickException(f"several deliveries begin with '{typed}', such as {begin}: type more of it")
    return found[0]


def ids_of(session: Session, typed: Iterable[str]) -> list[str]:
    """The ids of the deliveries that are meant, each once.

    Raises:
        click.ClickException: one of them is not one.
    """
    return list(dict.fromkeys(delivery_named(session, each).id for each in typed))
