"""Parse filters as operators type them, in the CLI and on the dashboard."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

AGE = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
RATE = re.compile(r"(\d{1,6})/([smh])")
SECONDS = {"s": 1, "m": 60, "h": 3600}


class InvalidFilter(ValueError):
    """A filter is malformed; the message shows the valid forms."""


def parse_time(text: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """Parse a time: ISO 8601, or an age such as 30s, 10m, 2h, 7d.

    Args:
        text: as typed.
        now: the time from which an age counts back, UTC.
        zone: time zone of a time without a UTC offset.

    Raises:
        InvalidFilter: it is neither.
    """
    age = AGE.fullmatch(text)
    try:
        if age:
            return now - timedelta(**{UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidFilter(
            f"'{text[:80]}' is not a time: write 10m, 2h, 7d, 2026-01-31 or 2026-01-31T12:00+01:00"
        ) from None


def parse_rate(text: str) -> float:
    """Parse a rate: 50/s, 100/m, 1000/h.

    Returns:
        Rows per second.

    Raises:
        InvalidFilter: it is malformed.
    """
    found = RATE.fullmatch(text)
    if not found or not int(found[1]):
        raise InvalidFilter(f"'{text[:80]}' is not a rate: write 50/s, 100/m or 1000/h")
    return int(found[1]) / SECONDS[found[2]]
