"""`Retry-After`: how long somebody asks us to wait, in whichever way HTTP lets them say so."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)
SECONDS = re.compile(r"[0-9]+")


def parse_retry_after(retry_after: str | None, now: datetime) -> timedelta | None:
    """Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; None if it is neither.

    Returns:
        Between zero and a day, whatever was asked.
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
