"""Timestamps as meetergo writes them: `Z` and milliseconds for its own, an offset for the times of meetings."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
"""Tells the time, aware."""

SMALLEST_STEP = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """The time on this machine."""
    return datetime.now(UTC)


@lru_cache(maxsize=65536)
def moment(text: str) -> datetime:
    """The time that a text says, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def utc_text(time: datetime) -> str:
    """`2024-01-14T15:30:00.000Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_text(time: datetime, zone: str) -> str:
    """`2024-01-15T09:00:00+01:00`."""
    return time.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")


def next_text(previous: str, now: datetime) -> str:
    """The time of a change: now, but always later than the change before."""
    return utc_text(max(now, moment(previous) + SMALLEST_STEP))
