"""`Retry-After`: parse how long a server asks us to wait."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)
SECONDS = re.compile(r"[0-9]+")


def parse_retry_after(retry_after: str | None, now: datetime) -> timedelta | None:
    """Parse `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; None if it is neither.

    Returns:
        The wait, limited to between zero and a day.
    """
    value = (retry_after or "").strip()
    if SECONDS.fullmatch(value):
        return min(timedelta(seconds=int(value[:9])), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
        until = date.replace(tzinfo=date.tzinfo or UTC)
        return min(max(until - now, timedelta()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
