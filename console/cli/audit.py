"""Audit options, `--by` and `--reason`, and the worker's services for one command."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from console.app import escaped
from runtime import logs

if TYPE_CHECKING:
    from worker.services import Services


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


def audited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the audit options `reason` and `by` to a command."""
    return REASON_OPTION(BY_OPTION(command))


@contextmanager
def worker_services() -> Iterator[Services]:
    """Open the worker's services for one command."""
    from worker.settings import WorkerSettings
    from worker.start import build_or_exit, print_if_newer

    logs.configure()
    logs.silence()  # the command prints the results itself
    settings = WorkerSettings.load()
    settings.check_file_exists()
    services = build_or_exit(settings)
    try:
        print_if_newer(services.database)  # on the connection that the command needs anyway
        yield services
    finally:
        services.database.close()
