"""Open the webhook registrations, our addresses and Redis from the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.cli.accounts import load_settings
from console.cli.api_client import api_client
from console.cli.stores import NO_TIMEOUT, open_database

if TYPE_CHECKING:
    from redis import Redis

    from operations.webhooks.addresses import Address
    from operations.webhooks.registrations import Registrations


@contextmanager
def open_registrations(
    account: str, force: bool = False
) -> Iterator[tuple[Registrations, Sequence[Address], Redis | None]]:
    """Yield registrations, our addresses (oldest to newest), and Redis if configured; errors become messages.

    Args:
        account: the account.
        force: whether webhooks that post to another host may be changed.
    """
    from operations.settings import RegistrationSettings
    from operations.webhooks import addresses
    from operations.webhooks.registrations import Registrations
    from runtime.signed_address import host_of

    settings = load_settings(RegistrationSettings, account)
    ours = addresses.our_addresses(settings)
    redis = settings.redis()
    with open_database(settings, NO_TIMEOUT) as database, api_client(settings, account) as meetergo:
        host = None if force else host_of(ours[-1].url)
        yield Registrations(meetergo, database, lambda: datetime.now(UTC), host, account), ours, redis
