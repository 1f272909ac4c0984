"""Calls to meetergo, only on request, each with a time limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from meetergo.api.errors import ApiError
from operations.errors import OperationError, api_error_message
from worker.settings import ReconcileSettings

TIMEOUT = timedelta(seconds=5)
"""Time limit for each response from meetergo."""
MAX_WAIT = timedelta(seconds=3)
"""Longest wait for the rate limit, which all processes share."""
CLIENT: dict[str, Any] = {"timeout": TIMEOUT, "attempts": 1, "max_wait": MAX_WAIT}
NO_KEY = "MEETERGO_API_KEY is not set for the dashboard: put it into its environment or into .env"


def provider_settings() -> ReconcileSettings:
    """Return the settings for calls to meetergo.

    Raises:
        OperationError: the key is missing, or a setting cannot be used.
    """
    try:
        settings = ReconcileSettings.load()
    except SystemExit:
        raise OperationError("a setting for calls to meetergo cannot be used: see the dashboard's log") from None
    if not settings.meetergo_api_key:
        raise OperationError(NO_KEY)
    return settings


@contextmanager
def api_errors() -> Iterator[None]:
    """Turn an error of meetergo's API into one sentence.

    Raises:
        OperationError: meetergo failed or rejected a request.
    """
    try:
        yield
    except ApiError as error:
        raise OperationError(f"meetergo: {api_error_message(error)}") from error
