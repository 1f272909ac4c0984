"""Confirmation before an irreversible action. No, and no answer, exit with 1, Ctrl-C with 130: see `console.app`."""

from typing import Any

import click


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
