"""The operator: who acts and why, and the office that they act in."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from operations.errors import StoreError, store_error_message
from runtime import logs
from worker.services import Services, build_services
from worker.settings import WorkerSettings
from worker.start import exit_on_bad_setting


def login_name() -> str:
    """Who is logged in here, if that can be known."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


BY_OPTION = click.option("--by", default=login_name, metavar="NAME", help="Who does it (the login name).")
REASON_OPTION = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept, and shown in the timeline.")


def audited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options by which its acts are audited: `reason` and `by`."""
    return REASON_OPTION(BY_OPTION(command))


@contextmanager
def worker_services() -> Iterator[Services]:
    """The worker's office, for one command. What goes wrong with a store is a sentence."""
    logs.configure()
    logs.silence()  # what there is to say, the command prints
    settings = WorkerSettings.load()
    _ = settings.existing_database_url
    services = exit_on_bad_setting(lambda: build_services(settings))
    try:
        yield services
    except StoreError as error:
        raise click.ClickException(store_error_message(error)) from error
    finally:
        services.database.close()
