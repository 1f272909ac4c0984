"""`bookings refresh`: read bookings from meetergo now, and let the worker correct ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from console.cli import completion
from console.cli.accounts import ACCOUNT, DEFAULT, load_reconcile_settings
from console.cli.api_client import report_api_errors
from console.cli.stores import NO_TIMEOUT, open_database, read_only_session
from console.render import tables
from console.render.tables import as_json
from operations.text import printable

if TYPE_CHECKING:
    from operations.bookings.refresh import Columns, Refresher, RefreshResult
    from operations.serialize import Json
    from worker.settings import ReconcileSettings


@click.command()
@click.argument("booking_ids", metavar="ID...", nargs=-1, required=True, type=completion.BOOKING)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what differs; write nothing.")
@click.option(
    "--account", type=ACCOUNT, metavar="NAME", default=DEFAULT, help="The account of bookings that are not known yet."
)
@as_json
def refresh(booking_ids: Sequence[str], is_dry: bool, account: str, as_json: bool) -> None:
    """Read bookings from meetergo now, and correct ours. ID may be a prefix.

    meetergo's answer is final: it also undoes forged webhooks. Exits 1 if a booking is not refreshed.
    """
    found: list[RefreshResult] = []
    for name, keys in _by_account(booking_ids, account).items():
        settings = load_reconcile_settings(name)
        with report_api_errors(name), _open_refresher(settings, name) as refresher:
            found += refresher.run(keys, is_dry)
    if as_json:
        tables.print_json({"dry_run": is_dry, "bookings": [each.as_json() for each in found]})
    else:
        for each in found:
            _show(each, is_dry)
    raise SystemExit(1 if any(each.problem for each in found) else 0)


def _by_account(typed: Sequence[str], account: str) -> dict[str, list[str]]:
    """Return the keys of the bookings by their accounts."""
    from models.account import account_of
    from operations.accounts import check_account
    from operations.bookings.refresh import find_keys

    found: dict[str, list[str]] = {}
    with read_only_session() as session:
        for key in find_keys(session, typed, check_account(session, account)):
            found.setdefault(account_of(key), []).append(key)
    return found


@contextmanager
def _open_refresher(settings: ReconcileSettings, account: str) -> Iterator[Refresher]:
    from operations.bookings.refresh import open_refresher
    from runtime.queue import JobQueue

    with (
        open_database(settings, NO_TIMEOUT) as database,
        open_refresher(settings, database, JobQueue(settings.redis()), account) as refresher,
    ):
        yield refresher


def _show(each: RefreshResult, is_dry: bool) -> None:
    from console.render import changes

    booking = f"booking {printable(each.booking_id)}"
    if each.problem:
        click.echo(f"{booking}: {each.problem}")
    elif each.columns:
        click.echo(f"{booking}: {'would change' if is_dry else 'changed'}")
        tables.show(changes.table(*_before_and_after(each.columns)))
    else:
        click.echo(f"{booking}: as meetergo says, nothing differs")


def _before_and_after(columns: Columns) -> tuple[Json, Json]:
    return {name: before for name, (before, _) in columns.items()}, {name: to for name, (_, to) in columns.items()}
