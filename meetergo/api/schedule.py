"""The weekly schedule of an availability, in the object form of the newer documents; the older list is read too."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meetergo.api.errors import InvalidCall

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")

Intervals = list[tuple[str, str]]
"""Time intervals of a day, such as ("09:00", "17:00")."""

Week = Mapping[str, Sequence[tuple[str, str]]]
"""Day, such as `monday` -> its intervals. A missing day is closed."""


@dataclass(frozen=True)
class Hours:
    """When a user can be booked.

    Attributes:
        name: shown to the user.
        timezone: IANA, such as Europe/Berlin.
        week: day -> intervals.
    """

    name: str
    timezone: str
    week: Week

    def body(self) -> dict[str, Any]:
        """Return the hours as request JSON, with all seven days: no document says what happens to missing ones.

        Raises:
            InvalidCall: an invalid day or time.
        """
        return {"name": self.name, "timezone": self.timezone, "schedule": schedule(self.week)}


def schedule(week: Week) -> dict[str, Any]:
    """Return a week as request JSON.

    Raises:
        InvalidCall: an invalid day or time.
    """
    if unknown := set(week) - set(DAYS):
        raise InvalidCall(f"not days of the week: {', '.join(sorted(unknown))}; write monday, tuesday and so on")
    return {day: _day(week.get(day, ())) for day in DAYS}


def _day(intervals: Sequence[tuple[str, str]]) -> dict[str, Any]:
    for start, end in intervals:
        if not TIME.fullmatch(start) or not TIME.fullmatch(end) or start >= end:
            raise InvalidCall("an interval of a day is two times such as 09:00 and 17:00, the earlier one first")
    return {"enabled": bool(intervals), "hours": [{"start": start, "end": end} for start, end in intervals]}


def read_week(value: Any) -> Any:
    """Read a week in either form: day -> intervals; days without intervals are omitted."""
    if isinstance(value, list):
        days = {str(day.get("dayOfWeek", "")).lower(): day.get("intervals") for day in value if isinstance(day, dict)}
    elif isinstance(value, dict):
        days = {
            name: day.get("hours") for name, day in value.items() if isinstance(day, dict) and day.get("enabled", True)
        }
    else:
        return value
    week = {name: _intervals(listed) for name, listed in days.items()}
    return {name: intervals for name, intervals in week.items() if intervals}


def _intervals(listed: Any) -> list[tuple[Any, Any]]:
    return [_interval(hours) for hours in listed or () if isinstance(hours, dict)]


def _interval(hours: dict[str, Any]) -> tuple[Any, Any]:
    return hours.get("start", hours.get("from")), hours.get("end", hours.get("to"))
