"""Confirmation before an action: the question, and the options of commands that ask it.

No, and no answer, exit with 1, Ctrl-C with 130: see `console.app`.
"""

from typing import Any

import click

YES_OPTION = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes or --dry-run.")
"""For a command that asks, and has a dry run; it calls `check_can_ask`."""
DRY_RUN_NOTE = "\nThis was a dry run: nothing is changed. To do it, leave --dry-run out and add --reason."


def check_can_ask(as_json: bool, yes: bool, dry_run: bool) -> None:
    """Refuse --json where the command would ask: the question would be among the JSON.

    Raises:
        click.UsageError: it would.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json cannot ask: add --yes or --dry-run")


def confirm_or_exit(question: str, **options: Any) -> None:
    """Return if the operator confirms, else exit.

    Args:
        question: the question without the [y/N].
        options: options for `click.confirm`.
    """
    try:
        is_confirmed = click.confirm(question, **options)
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise
        click.echo("\nNothing was done: no answer could be read. Without a terminal, pass --yes to confirm.", err=True)
        raise SystemExit(1) from abort
    if not is_confirmed:
        click.echo("Nothing was done.", err=True)
        raise SystemExit(1)
