"""Calls to meetergo, only on request, each with a time limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from dashboard.stores import current
from meetergo.api.errors import ApiError
from models.account import DEFAULT
from operations.accounts import api_values, find_account
from operations.errors import OperationError, api_error_message
from worker.settings import ReconcileSettings

TIMEOUT = timedelta(seconds=5)
"""Time limit for each response from meetergo."""
MAX_WAIT = timedelta(seconds=3)
"""Longest wait for the rate limit, which all processes share."""
CLIENT: dict[str, Any] = {"timeout": TIMEOUT, "attempts": 1, "max_wait": MAX_WAIT}
NO_KEY = "MEETERGO_API_KEY is not set for the dashboard: put it into its environment or into .env"


def provider_settings(account: str) -> ReconcileSettings:
    """Return the settings for calls to meetergo for an account.

    Raises:
        OperationError: the key is missing, or a setting cannot be used.
    """
    settings = api_settings()
    if account != DEFAULT:
        with current().database.read_only() as session:
            found = find_account(session, account, current().services.inbox.cipher)
        return settings.model_copy(update=api_values(found))
    if not settings.meetergo_api_key:
        raise OperationError(NO_KEY)
    return settings


def api_settings() -> ReconcileSettings:
    """Return the settings for calls to meetergo, whether or not there is a key.

    Raises:
        OperationError: a setting cannot be used.
    """
    try:
        return ReconcileSettings.load()
    except SystemExit:
        raise OperationError("a setting for calls to meetergo cannot be used: see the dashboard's log") from None


@contextmanager
def api_errors(account: str) -> Iterator[None]:
    """Turn an error of meetergo's API into one sentence.

    Raises:
        OperationError: meetergo failed or rejected a request.
    """
    try:
        yield
    except ApiError as error:
        raise OperationError(f"meetergo: {api_error_message(error, account)}") from error
