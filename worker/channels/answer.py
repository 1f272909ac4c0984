"""What an HTTP answer means for what we sent: taken, never, or later."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from models.failures import Permanent, Transient

LONGEST_RETRY_AFTER = timedelta(days=1)
WORTH_ANOTHER_TRY = {408, 409, 425, 429}
"""Request Timeout, Conflict, Too Early, Too Many Requests: the client errors that pass."""

SECONDS = re.compile(r"[0-9]+")


def judge(status: int, retry_after: str | None, now: datetime) -> None:
    """Returns if the platform took the message.

    Args:
        status: of the answer.
        retry_after: the header of that name, as it came.
        now: when the answer came, UTC.

    Raises:
        Permanent: a redirect or a refusal.
        Transient: an overload or an accident, with the wait that was asked for.
    """
    if 200 <= status < 300:
        return
    answered = f"the platform answered {status}"
    if 300 <= status < 400:
        raise Permanent(f"{answered}: redirects are not followed")
    if status < 500 and status not in WORTH_ANOTHER_TRY:
        raise Permanent(answered)
    raise Transient(answered, wait(retry_after, now))


def wait(retry_after: str | None, now: datetime) -> timedelta | None:
    """Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; None if it is neither.

    Returns:
        Between zero and a day, whatever was asked.
    """
    asked = (retry_after or "").strip()
    if SECONDS.fullmatch(asked):
        return min(timedelta(seconds=int(asked[:9])), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(asked)
        until = date.replace(tzinfo=date.tzinfo or UTC)
        return min(max(until - now, timedelta()), LONGEST_RETRY_AFTER)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
