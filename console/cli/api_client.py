"""The provider at the desk: meetergo's API as the commands call it, and its errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from meetergo.api import Credential, Meetergo
from meetergo.api.errors import ApiError
from operations.errors import StoreError, api_error_message, store_error_message
from operations.settings import ProviderSettings
from runtime.database import Database
from runtime.settings import DatabaseSettings


@contextmanager
def api_client(settings: ProviderSettings, share: float = 1.0) -> Iterator[Meetergo]:
    """A client that acts as MEETERGO_API_USER, or else as whom the key belongs to; what goes wrong is a sentence.

    Args:
        settings: the key, and where the API is.
        share: how full the minute may be for this command; see `Limit`.
    """
    with report_errors(), settings.api_client(settings.redis(), share) as meetergo:
        yield as_admin(meetergo, settings)


@contextmanager
def open_configured_database(settings: DatabaseSettings) -> Iterator[Database]:
    """The database; what goes wrong is a sentence."""
    database = Database(settings.existing_database_url)
    try:
        with report_errors():
            yield database
    finally:
        database.close()


@contextmanager
def report_errors() -> Iterator[None]:
    """Ends the command with one sentence when meetergo or a store does not do what it should."""
    try:
        yield
    except ApiError as error:
        raise click.ClickException(api_error_message(error)) from error
    except StoreError as error:
        raise click.ClickException(store_error_message(error)) from error


def as_admin(meetergo: Meetergo, settings: ProviderSettings) -> Meetergo:
    """A Platform key must say whom it acts as: if nobody is configured, the company's owner, whom meetergo names."""
    if settings.meetergo_api_user or Credential.read(settings.meetergo_api_key).kind == "personal":
        return meetergo
    return meetergo.as_user(meetergo.me().id)
