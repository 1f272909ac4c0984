"""`webhook list`: show where meetergo posts to, and when each of our addresses last received a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli.accounts import ACCOUNT_OPTION
from console.cli.registrations import open_registrations
from console.render import tables
from console.render.tables import Column
from operations.text import age

if TYPE_CHECKING:
    from redis import Redis

    from meetergo.api.schemas import Webhook
    from operations.webhooks.addresses import Address
    from operations.webhooks.registrations import RegistrationState

COLUMNS = [
    Column("webhook"),
    Column("whose"),
    Column("posts to"),
    Column("events", wraps=True),
    Column("last delivery"),
]


@click.command("list")
@ACCOUNT_OPTION
@tables.as_json
def list_command(account: str, as_json: bool) -> None:
    """List all webhooks at meetergo: ours in full, of others only the host."""
    with open_registrations(account) as (registrations, ours, redis):
        state = registrations.fetch()
        rows = [_row(webhook, state, ours, redis) for webhook in state.webhooks]
    if as_json:
        tables.print_json({"webhooks": rows})
    elif not rows:
        click.echo("meetergo has no webhook: `webhook register` makes ours.")
    else:
        tables.show(tables.listing(COLUMNS, [_line(row) for row in rows]))


def _row(webhook: Webhook, state: RegistrationState, ours: Sequence[Address], redis: Redis | None) -> dict[str, Any]:
    from operations.webhooks import addresses
    from runtime.queue import JobQueue
    from runtime.signed_address import fingerprint_in, host_of

    is_newest = webhook.endpoint == ours[-1].url
    is_elsewhere = webhook in state.elsewhere(ours)
    is_ours = is_newest or is_elsewhere or webhook in state.older(ours)
    row = state.known.get(webhook.id) if state.is_ours(webhook) else None
    fingerprint = fingerprint_in(webhook.endpoint) if is_ours and not is_elsewhere else None
    return {
        "id": webhook.id,
        "ours": is_ours,
        "is_newest": is_newest,
        "address": addresses.redacted_url(webhook.endpoint) if is_ours else host_of(webhook.endpoint),
        "events": sorted(webhook.event_types),
        "registered_at": row and row.registered_at,
        "last_delivery_at": JobQueue(redis).last_seen(fingerprint) if redis and fingerprint else None,
    }


def _line(row: dict[str, Any]) -> list[str]:
    owner = "others" if not row["ours"] else "ours" if row["is_newest"] else "ours, older"
    last = row["last_delivery_at"]
    when = age(last, datetime.now(UTC)) if row["ours"] else "-"
    return [row["id"], owner, row["address"], ", ".join(row["events"]), when]
