"""`users onboard`: create users in meetergo from a file of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.app import EXIT_INTERRUPTED
from console.cli.accounts import ACCOUNT_OPTION, load_settings
from console.cli.api_client import api_client
from console.cli.arguments import BOOKING_ROOT_OPTION
from console.cli.progress import progress_bar
from console.cli.stores import NO_TIMEOUT, channel_settings, open_database
from console.cli.types import CallersPath
from console.render import tables
from operations.text import count, printable

if TYPE_CHECKING:
    from operations.users.host_file import HostRow
    from operations.users.import_run import ImportRun

MAX_SHOWN = 20
MAX_LINE = 1_000_000
INTERRUPTED = "interrupted"
FAILED_SUFFIX = ".failed"


class LineNumbersParam(click.ParamType[frozenset[int]]):
    """Line numbers: 3,17,20-25."""

    name = "lines"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> frozenset[int]:
        """Convert to a set of numbers."""
        if isinstance(value, frozenset):
            return value
        try:
            return frozenset(number for part in value.split(",") for number in _numbers(part))
        except ValueError:
            self.fail(f"'{value}' is not a list of line numbers: write 3,17 or 3-17", param, context)


def _numbers(part: str) -> range:
    first, _, last = part.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers or numbers[0] < 1 or numbers[-1] > MAX_LINE:
        raise ValueError(part)
    return numbers


@click.command()
@click.argument("file", type=CallersPath(exists=True, dir_okay=False, path_type=Path))
@click.option("--lines", type=LineNumbersParam(), help="Only these lines, such as those that failed: 3,17 or 3-17.")
@click.option("--dry-run", is_flag=True, help="Check the file, and show what would be done.")
@BOOKING_ROOT_OPTION
@ACCOUNT_OPTION
@tables.as_json
def onboard(
    file: Path,
    lines: frozenset[int] | None,
    dry_run: bool,
    booking_root: str | None,
    account: str,
    as_json: bool,
) -> None:
    """Create the hosts in FILE (CSV or JSON) as users in meetergo, with opening hours and a first meeting type.

    It is safe to interrupt and run again: no user is created twice. Failed lines are written to FILE.failed.csv
    with the reason; correct them there and pass that file.
    """
    from meetergo.api import BULK_SHARE
    from operations.settings import ProviderSettings
    from operations.users.directory import Directory
    from operations.users.import_run import ImportRun
    from operations.users.onboarding import Onboarding

    chosen = _read(file, lines)
    settings = load_settings(ProviderSettings, account)
    import_run = ImportRun(account)
    with open_database(settings, NO_TIMEOUT) as database, api_client(settings, account, BULK_SHARE) as meetergo:
        onboarding = Onboarding(meetergo, database, Directory(meetergo), account, booking_root)
        onboard_host = onboarding.plan if dry_run else onboarding.apply
        try:
            with progress_bar("Onboarding", len(chosen)) as advance:
                import_run.run(chosen, onboard_host, advance)
        except KeyboardInterrupt:
            import_run.stopped = INTERRUPTED
        finally:
            if lines is None and not dry_run:
                _write_failed(file, import_run)
    _report(import_run, file, dry_run, as_json)


def _read(file: Path, numbers: frozenset[int] | None) -> list[HostRow]:
    from operations.users.host_file import HostFileError, check_channels, read_host_file

    try:
        lines = read_host_file(file)
    except HostFileError as error:
        raise click.ClickException(f"{file.name} cannot be used: {error}") from None
    if numbers and (unknown := numbers - {line.number for line in lines}):
        raise click.ClickException(f"{file.name} has nothing in line {', '.join(map(str, sorted(unknown)))}")
    chosen = [line for line in lines if numbers is None or line.number in numbers]
    if not any(line.entry and line.entry.channels for line in chosen):
        return chosen
    checked, warnings = check_channels(chosen, channel_settings())
    for warning in warnings:
        click.echo(f"Warning: {printable(warning)}", err=True)
    return checked


def _failed_file(file: Path) -> Path:
    """Return the path for failed lines, beside the file; a file of failed lines is overwritten."""
    return file.with_name(file.stem.removesuffix(FAILED_SUFFIX) + FAILED_SUFFIX + ".csv")


def _write_failed(file: Path, import_run: ImportRun) -> None:
    """Write failed lines, and the unprocessed ones of a stopped run; an interrupted run removes no line."""
    from operations.users.host_file import write_failed

    target = _failed_file(file)
    if (import_run.stopped or not import_run.remaining) and import_run.stopped != INTERRUPTED:
        write_failed(
            target,
            [*import_run.failed, *((line, f"not processed: {import_run.stopped}") for line in import_run.remaining)],
        )
    elif import_run.failed and target != file:
        write_failed(target, import_run.failed)


def _report(import_run: ImportRun, file: Path, dry_run: bool, as_json: bool) -> None:
    if as_json:
        tables.print_json(import_run.as_json())
    else:
        would = "would be " if dry_run else ""
        found = import_run.outcomes
        click.echo(
            f"{found['created']} {would}created, {found['adopted']} {would}adopted, "
            f"{found['known']} known before, {len(import_run.failed)} failed."
        )
        if found["known"]:
            click.echo("Known hosts were not looked up at meetergo: `users sync` does that.")
        for line, reason in import_run.failed[:MAX_SHOWN]:
            click.echo(f"  line {line.number}: {printable(reason)}")
        if len(import_run.failed) > MAX_SHOWN:
            click.echo(f"  and {len(import_run.failed) - MAX_SHOWN} more")
        if import_run.failed and not dry_run:
            click.echo(f"Correct them in {_failed_file(file).name}, and onboard that file.")
        if not dry_run and found.total() > found["known"]:
            click.echo("The sweep links bookings that waited for them, within 15 seconds while cron runs.")
    if import_run.stopped == INTERRUPTED:
        click.echo(f"Interrupted with {len(import_run.remaining)} to go: run it again to continue.", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    if import_run.stopped:
        left = count(len(import_run.remaining), "is left", "are left")
        raise click.ClickException(f"{import_run.stopped}. {left}: run it again to continue")
    if import_run.failed:
        raise SystemExit(1)
