"""Confirmation before an irreversible action. No exits with 1, Ctrl-C with 130: see `console.app`."""

from typing import Any

import click


def confirm_or_exit(question: str, **options: Any) -> None:
    """Return if the operator confirms, else exit.

    Args:
        question: the question without the [y/N].
        options: options for `click.confirm`.
    """
    if not click.confirm(question, **options):
        click.echo("Nothing was done.", err=True)
        raise SystemExit(1)
