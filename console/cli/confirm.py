"""Consent: a question before what cannot be taken back. A no is exit code 1, Ctrl-C is 130: see `console.app`."""

from typing import Any

import click


def confirm_or_exit(question: str, **how: Any) -> None:
    """Goes on if the answer is yes.

    Args:
        question: without the [y/N].
        how: of `click.confirm`.
    """
    if not click.confirm(question, **how):
        click.echo("Nothing was done.", err=True)
        raise SystemExit(1)
