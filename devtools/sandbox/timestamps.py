"""Timestamps as meetergo writes them: UTC with `Z` and milliseconds, and meeting times with an offset."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
"""Returns the current time, timezone-aware."""

SMALLEST_STEP = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """Return the system time."""
    return datetime.now(UTC)


@lru_cache(maxsize=65536)
def moment(text: str) -> datetime:
    """Parse a time and convert it to UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def utc_text(time: datetime) -> str:
    """Format as `2024-01-14T15:30:00.000Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_text(time: datetime, zone: str) -> str:
    """Format as `2024-01-15T09:00:00+01:00`."""
    return time.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
