"""The option `--account`, and the settings of the account that it names."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from console.cli.stores import open_database, read_only_session

if TYPE_CHECKING:
    from runtime.settings import Settings
    from worker.settings import ReconcileSettings

DEFAULT = "default"
"""The account of the settings; `models.account` names it too, and takes long to import."""
SettingsType = TypeVar("SettingsType", bound="Settings")


class AccountParam(click.ParamType[str]):
    """The name of an account. Completion is silent on any error."""

    name = "account"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the names that start with the typed text."""
        with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stderr(io.StringIO()):
            from models.account import Account
            from runtime.settings import DatabaseSettings

            with open_database(DatabaseSettings.load()) as database, database.read_only() as session:
                names = [DEFAULT, *(row.name for row in Account.load_all(session))]
                return [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return []


ACCOUNT = AccountParam()
ACCOUNT_OPTION = click.option(
    "--account", type=ACCOUNT, metavar="NAME", default=DEFAULT, help="The account; by default that of the settings."
)
ONLY_ACCOUNT_OPTION = click.option(
    "--account", type=ACCOUNT, metavar="NAME", help="Only this account, such as `default`."
)


def only_default() -> bool:
    """Whether there is no other account than that of the settings: then none is shown."""
    from models.account import Account

    with read_only_session() as session:
        return not Account.is_any(session)


def load_settings(kind: type[SettingsType], account: str) -> SettingsType:
    """Load settings, with the API key and the other values of an account.

    Raises:
        OperationError: there is no such account, or its API key cannot be read.
    """
    from operations import accounts
    from runtime.settings import EncryptedStoreSettings

    if account == DEFAULT:
        return kind.load()
    store = EncryptedStoreSettings.load()
    with open_database(store) as database, database.read_only() as session:
        found = accounts.find_account(session, account, store.cipher())
    return kind.load(**accounts.api_values(found))


def load_reconcile_settings(account: str) -> ReconcileSettings:
    """Load the settings with which an account's bookings are compared with meetergo's.

    Raises:
        click.UsageError: there is no API key.
        OperationError: there is no such account, or its API key cannot be read.
    """
    from worker.settings import ReconcileSettings

    settings = load_settings(ReconcileSettings, account)
    if not settings.meetergo_api_key:
        raise click.UsageError("MEETERGO_API_KEY is not set: put it into the environment or into .env")
    return settings
