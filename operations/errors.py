"""Errors of operations, and messages for operators about errors of meetergo's API. Imports no store."""

from meetergo.api.errors import ApiError, Unauthorised
from models.account import DEFAULT
from operations.text import printable
from runtime import errors

MIGRATE_COMMAND = "bin/inbox migrate"


class OperationError(Exception):
    """The requested operation is impossible. The message says why, and what to do."""


def api_error_message(error: ApiError, account: str) -> str:
    """Describe an API error in one sentence, naming the setting or the account if its key is at fault."""
    key = "MEETERGO_API_KEY" if account == DEFAULT else f"API key of the account {account}"
    return f"{key}: {error}" if isinstance(error, Unauthorised) else str(error)


def first_line(error: Exception) -> str:
    """Return the first line of the driver's message, to be shown."""
    return printable(errors.first_line(errors.cause_of(error)))
