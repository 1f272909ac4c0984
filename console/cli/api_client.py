"""The API client of the commands, with errors as one-sentence messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from console.cli.accounts import DEFAULT, load_settings

if TYPE_CHECKING:
    from meetergo.api import Meetergo
    from models.platform_user import PlatformUser
    from operations.settings import ProviderSettings
    from runtime.database import Database
    from runtime.settings import DatabaseSettings


@contextmanager
def api_client(settings: ProviderSettings, share: float = 1.0, account: str = DEFAULT) -> Iterator[Meetergo]:
    """Open a client that acts as MEETERGO_API_USER, else as the key's owner; errors become one-sentence messages.

    Args:
        settings: the key, and the API's URL.
        share: fraction of the rate limit that this command may use; see `RateLimiter`.
        account: the account whose settings these are.
    """
    with report_errors(account), settings.api_client(settings.redis(), share) as meetergo:
        yield as_admin(meetergo, settings)


@contextmanager
def host_client(external_id: str) -> Iterator[tuple[PlatformUser, Meetergo]]:
    """Yield a host, and a client with the API key of the host's account; see `api_client`."""
    from operations import hosts
    from operations.settings import ProviderSettings
    from runtime.settings import DatabaseSettings

    with open_configured_database(DatabaseSettings.load()) as database:
        host = hosts.find(database, external_id)
    with api_client(load_settings(ProviderSettings, host.account), account=host.account) as meetergo:
        yield host, meetergo


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
def report_errors(account: str = DEFAULT) -> Iterator[None]:
    """End the command with a one-sentence message when meetergo or a store fails."""
    from meetergo.api.errors import ApiError
    from operations.errors import api_error_message
    from operations.store_errors import StoreError, store_error_message

    try:
        yield
    except ApiError as error:
        raise click.ClickException(api_error_message(error, account)) from error
    except StoreError as error:
        raise click.ClickException(store_error_message(error)) from error


def as_admin(meetergo: Meetergo, settings: ProviderSettings) -> Meetergo:
    """Choose the user that a Platform key acts as: by default the company's owner, as meetergo reports it."""
    from meetergo.api import Credential

    if settings.meetergo_api_user or Credential.read(settings.meetergo_api_key).kind == "personal":
        return meetergo
    return meetergo.as_user(meetergo.users.me().id)
