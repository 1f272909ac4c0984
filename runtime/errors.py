"""Failures, named by what is done about them.

Failure
├── Permanent    trying again cannot help: the row dies, visible and replayable
└── Transient    trying again may help: the row waits, perhaps as long as the other side asked

Any other exception counts as Transient, until the attempts run out.
"""

from datetime import timedelta


class Failure(Exception):
    """Something could not be done. Its message is ours and names no person: it may be logged."""


class Permanent(Failure):
    """It will never work like this."""


class Transient(Failure):
    """It may work later.

    Args:
        retry_after: how long the other side asked us to wait, if it did.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def describe(error: BaseException) -> str:
    """One line that is safe to log: our own words, of any other exception only the class."""
    return str(error) if isinstance(error, Failure) else type(error).__name__


def first_line(error: BaseException) -> str:
    """What a store's driver said first: it names the server or the fault, not what is stored."""
    return str(error).strip().partition("\n")[0][:300]
