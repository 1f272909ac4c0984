"""The settings with which a process calls meetergo for one of several accounts."""

from typing import Any, TypeVar

from meetergo.api.credential import Credential, UnusableKey
from models.account import AccountConfig, UnusableAccount
from runtime.api_settings import ApiSettings
from runtime.errors import Failure

SettingsType = TypeVar("SettingsType", bound=ApiSettings)


def settings_of(settings: SettingsType, account: AccountConfig) -> SettingsType:
    """Return settings with an account's own key, acting user and horizon; those of `default` are unchanged.

    The key is empty if the account has none.

    Raises:
        UnusableAccount: its key cannot be read, or is not a key of meetergo.
    """
    return settings if account.is_default else settings.model_copy(update=values_of(account))


def values_of(account: AccountConfig) -> dict[str, Any]:
    """Return an account's values for the settings that each account has of its own, by the names of the fields.

    Raises:
        UnusableAccount: its key cannot be read, or is not a key of meetergo.
    """
    values: dict[str, Any] = {
        "webhook_account": account.name,
        "meetergo_api_key": _key(account),
        "meetergo_api_user": account.api_user,
        "meetergo_api_key_expires": account.api_key_expires,
    }
    return values | ({"reconcile_days": account.reconcile_days} if account.reconcile_days else {})


def _key(account: AccountConfig) -> str:
    try:
        key = account.api_key()
        return Credential.read(key).secret.get_secret_value() if key else ""
    except (Failure, UnusableKey) as error:
        raise UnusableAccount(str(error)) from None
