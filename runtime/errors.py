"""Failures, named by what is done about them.

Failure
├── Permanent    a retry cannot help: the row becomes `dead`, visible and replayable
└── Transient    a retry may help: the row waits, at least as long as the other side asked

Any other exception counts as Transient, until the attempts run out.
"""

from datetime import timedelta


class Failure(Exception):
    """Base of expected failures. Its message is our own and holds no personal data, so it may be logged."""


class Permanent(Failure):
    """A failure that a retry cannot fix."""


class Transient(Failure):
    """A failure that a retry may fix.

    Args:
        message: what failed, safe to log.
        retry_after: how long the other side asked us to wait, if it did.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


QUOTING_SQLSTATES = ("22", "38", "39", "HV", "P0")
"""Classes of PostgreSQL's errors whose messages may quote data: values, and what functions and foreign tables raise."""


PIPELINE_ERROR = " of pipeline caused error: "
"""What redis-py writes between a command, with its values, and the reason why a pipeline failed."""


def cause_of(error: BaseException) -> BaseException:
    """Return the driver's error that SQLAlchemy wraps, since its class says more, or the error itself."""
    return getattr(error, "orig", None) or error


def describe(error: BaseException) -> str:
    """Describe an error in one line that is safe to log: our own message, or only the class of any other error."""
    return str(error) if isinstance(error, Failure) else type(cause_of(error)).__name__


def log_fields(error: BaseException) -> dict[str, str]:
    """Return the fields of a log line about an error: its class and, if it is a store's, its reason.

    The reason is the driver's first line, unless it may quote stored data.
    """
    reason = _reason(cause_of(error))
    return {"error": describe(error), **({"reason": reason} if reason else {})}


def _reason(cause: BaseException) -> str:
    if any(base.__module__ == "redis.exceptions" for base in type(cause).__mro__):
        return first_line(cause).rpartition(PIPELINE_ERROR)[2]
    if hasattr(cause, "sqlstate"):
        return "" if (cause.sqlstate or "").startswith(QUOTING_SQLSTATES) else first_line(cause)
    return first_line(cause) if hasattr(cause, "sqlite_errorcode") else ""


def first_line(error: BaseException) -> str:
    """Return the first line of a store driver's error: it names the server or the fault, not stored data."""
    return str(error).strip().partition("\n")[0][:300]
