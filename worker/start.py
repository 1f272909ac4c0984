"""Start of a process: a bad setting ends it with a one-sentence message."""

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from meetergo.api.errors import InvalidCall
from models.migrations.newer import find_newer, version_of
from runtime.database import Database
from runtime.settings import EXIT_BAD_SETTING, UnusableSetting, shorten
from worker.channels import UnusableChannel
from worker.channels.mail.branding import InvalidBranding
from worker.hook_source import UnusableHook, shadowed
from worker.services import Services, build_services
from worker.settings import WorkerSettings

Opened = TypeVar("Opened")
VERSION_TIMEOUT = timedelta(seconds=2)
"""Limit for asking the database for its version."""


def open_services(settings: WorkerSettings, database: Database | None = None) -> Services:
    """Build the services of a process, or exit if a setting cannot be used; print what an operator should know.

    Args:
        settings: the worker's settings.
        database: the database to use; None to open the one in the settings.
    """
    services = build_or_exit(settings, database)
    impatient = settings.database(pool_size=1, statement_timeout=VERSION_TIMEOUT)
    print_if_newer(impatient)
    impatient.close()
    return services


def build_or_exit(settings: WorkerSettings, database: Database | None = None) -> Services:
    """Build the services, or exit if a setting cannot be used; print which modules of a hook are shadowed."""
    if settings.platform_hook:
        for sentence in shadowed(settings.platform_hook, settings.platform_folders):
            print(sentence, file=sys.stderr)
    return exit_on_bad_setting(lambda: build_services(settings, database))


def print_if_newer(database: Database) -> None:
    """Print a notice if the database has a newer version, as after a rollback. Skip it if the database is down."""
    with suppress(SQLAlchemyError), database.read_only() as session:
        connection = session.connection()
        newer = find_newer(connection, version_of(connection))
        if newer:
            print(newer, file=sys.stderr)


def exit_on_bad_setting(build: Callable[[], Opened]) -> Opened:
    """Return what `build` opens, or exit if a setting cannot be used."""
    try:
        return build()
    except UnusableChannel as error:
        print(f"NOTIFY_DEFAULT: {error} (see .env.example).", file=sys.stderr)
    except InvalidBranding as error:
        print(f"{shorten(str(error))} (see .env.example).", file=sys.stderr)
    except (UnusableSetting, UnusableHook) as error:
        print(f"{error} (see .env.example).", file=sys.stderr)
    except InvalidCall as error:
        print(f"MEETERGO_API_USER: {error} (see .env.example).", file=sys.stderr)
    raise SystemExit(EXIT_BAD_SETTING)
