"""The API client of the commands, with errors as one-sentence messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meetergo.api import Meetergo
    from operations.settings import ProviderSettings
    from runtime.database import Database
    from runtime.settings import DatabaseSettings


@contextmanager
def api_client(settings: ProviderSettings, share: float = 1.0) -> Iterator[Meetergo]:
    """Open a client that acts as MEETERGO_API_USER, else as the key's owner; errors become one-sentence messages.

    Args:
        settings: the key, and the API's URL.
        share: fraction of the rate limit that this command may use; see `RateLimiter`.
    """
    with report_errors(), settings.api_client(settings.redis(), share) as meetergo:
        yield as_admin(meetergo, settings)


@contextmanager
def open_configured_database(settings: DatabaseSettings) -> Iterator[Database]:
    """Open the database; errors become one-sentence messages."""
    settings.check_file_exists()
    database = settings.database()
    try:
        with report_errors():
            yield database
    finally:
        database.close()


@contextmanager
def report_errors() -> Iterator[None]:
    """End the command with a one-sentence message when meetergo or a store fails."""
    from meetergo.api.errors import ApiError
    from operations.errors import StoreError, api_error_message, store_error_message

    try:
        yield
    except ApiError as error:
        raise click.ClickException(api_error_message(error)) from error
    except StoreError as error:
        raise click.ClickException(store_error_message(error)) from error


def as_admin(meetergo: Meetergo, settings: ProviderSettings) -> Meetergo:
    """Choose the user for a Platform key, which must name one: by default the company's owner, as meetergo reports
    it.
    """
    from meetergo.api import Credential

    if settings.meetergo_api_user or Credential.read(settings.meetergo_api_key).kind == "personal":
        return meetergo
    return meetergo.as_user(meetergo.users.me().id)
