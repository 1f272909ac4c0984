"""The audit options `--by` and `--reason`."""

from __future__ import annotations

import getpass

import click

from console.app import escaped
from console.cli.arguments import options


def login_name() -> str:
    """Return the name of the logged-in user, if known."""
    try:
        return escaped(getpass.getuser())
    except (OSError, KeyError, ImportError):
        return "unknown"


BY_OPTION = click.option(
    "--by", default=login_name, metavar="NAME", help="Your name in the audit record (default: login name)."
)
REASON_OPTION = click.option("--reason", default="", metavar="TEXT", help="Why; recorded, and shown in the timeline.")
audited = options(REASON_OPTION, BY_OPTION)
"""Adds the audit options `reason` and `by` to a command."""
