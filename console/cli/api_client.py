"""The API client of the commands, with errors as one-sentence messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from console.cli.accounts import load_settings
from console.cli.stores import NO_TIMEOUT, open_database

if TYPE_CHECKING:
    from meetergo.api import Meetergo
    from models.platform_user import PlatformUser
    from operations.settings import ProviderSettings


@contextmanager
def api_client(settings: ProviderSettings, account: str, share: float = 1.0) -> Iterator[Meetergo]:
    """Open a client that acts as MEETERGO_API_USER, else as the key's owner; errors become one-sentence messages.

    Args:
        settings: the key, and the API's URL.
        account: the account whose settings these are.
        share: fraction of the rate limit that this command may use; see `RateLimiter`.
    """
    with report_api_errors(account), settings.api_client(settings.redis(), share) as meetergo:
        yield settings.as_admin(meetergo)


@contextmanager
def host_client(external_id: str) -> Iterator[tuple[PlatformUser, Meetergo]]:
    """Yield a host, and a client with the API key of the host's account; see `api_client`."""
    from operations import hosts
    from operations.settings import ProviderSettings
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load(), NO_TIMEOUT) as database:
        host = hosts.find(database, external_id)
    with api_client(load_settings(ProviderSettings, host.account), host.account) as meetergo:
        yield host, meetergo


@contextmanager
def report_api_errors(account: str) -> Iterator[None]:
    """End the command with a one-sentence message when a call for an account fails; see also `RootGroup.invoke`."""
    from meetergo.api.errors import ApiError
    from operations.errors import api_error_message

    try:
        yield
    except ApiError as error:
        raise click.ClickException(api_error_message(error, account)) from error
