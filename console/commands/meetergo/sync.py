"""`users sync`: update platform users from meetergo's list of users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from console.cli.accounts import ACCOUNT_OPTION, load_settings
from console.cli.api_client import api_client
from console.cli.arguments import BOOKING_ROOT_OPTION
from console.cli.stores import NO_TIMEOUT, open_database
from console.render import tables
from operations.text import count, printable

if TYPE_CHECKING:
    from operations.users.sync import SyncFinding


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what there is to do.")
@click.option("--names", is_flag=True, help="Adopt names that are different in meetergo.")
@BOOKING_ROOT_OPTION
@ACCOUNT_OPTION
@tables.as_json
def sync(dry_run: bool, names: bool, booking_root: str | None, account: str, as_json: bool) -> None:
    """Update platform users from meetergo's list of users, matched by e-mail."""
    from meetergo.api import BULK_SHARE
    from operations import hosts
    from operations.settings import ProviderSettings
    from operations.users.directory import Directory
    from operations.users.sync import NEEDS_ATTENTION, UserSync

    settings = load_settings(ProviderSettings, account)
    with open_database(settings, NO_TIMEOUT) as database, api_client(settings, account, BULK_SHARE) as meetergo:
        user_sync = UserSync(Directory(meetergo), hosts.all_hosts(database, account), names, booking_root)
        findings = []
        for finding in user_sync.findings():
            if not dry_run:
                finding.apply(database)
            findings.append(finding)
        unmatched = user_sync.unmatched(findings)
    if as_json:
        tables.print_json(_as_json(findings, [user.id for user in unmatched]))
    else:
        _print_findings(findings, len(unmatched), dry_run)
    if any(finding.kind in NEEDS_ATTENTION for finding in findings):
        raise SystemExit(1)


def _as_json(findings: Sequence[SyncFinding], unmatched: Sequence[str]) -> dict[str, Any]:
    found = [
        {"kind": finding.kind, "external_id": finding.external_id, "changes": finding.changes} for finding in findings
    ]
    return {"findings": found, "strangers": unmatched}


def _print_findings(findings: Sequence[SyncFinding], unmatched: int, dry_run: bool) -> None:
    for finding in findings:
        click.echo(f"{finding.kind:9}  {printable(finding.external_id)}: {finding.message}")
    kinds = Counter(finding.kind for finding in findings)
    click.echo(", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "All platform users are up to date.")
    if unmatched:
        click.echo(f"{count(unmatched, 'user', 'users')} of meetergo without a platform user.")
    if dry_run:
        click.echo("Nothing was changed.")
    elif kinds["mapped"] or kinds["moved"]:
        click.echo("The sweep links bookings that waited for them, within 15 seconds while cron runs.")
