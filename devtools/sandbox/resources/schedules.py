"""Schedules: weekly opening hours. Read in both documented forms, stored in the newer one."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator

from devtools.sandbox.state.company import Record

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _schedule(value: Any) -> Record:
    """Return the object form, with all seven days; a missing day is closed."""
    days = _from_list(value) if isinstance(value, list) else value
    if not isinstance(days, dict) or not set(days) <= set(DAYS):
        raise ValueError(f"must be an object of {', '.join(DAYS)}")
    return {day: _day(days.get(day)) for day in DAYS}


def _from_list(days: list[Any]) -> Record:
    try:
        return {
            day["dayOfWeek"]: {
                "enabled": True,
                "hours": [{"start": interval["from"], "end": interval["to"]} for interval in day["intervals"]],
            }
            for day in days
        }
    except (KeyError, TypeError):
        raise ValueError("must have dayOfWeek and intervals of from and to in each element") from None


def _day(day: Any) -> Record:
    if day is None:
        return {"enabled": False, "hours": []}
    try:
        hours = [{"start": hour["start"], "end": hour["end"]} for hour in day["hours"]]
        is_enabled = bool(day["enabled"])
    except (KeyError, TypeError):
        raise ValueError("must have enabled, and hours of start and end, for each day") from None
    for hour in hours:
        if not all(isinstance(text, str) and HOUR.fullmatch(text) for text in hour.values()):
            raise ValueError("must have hours such as 09:00")
        if hour["start"] >= hour["end"]:
            raise ValueError("must have hours that end after they start")
    return {"enabled": is_enabled, "hours": hours}


Schedule = Annotated[dict[str, Any], BeforeValidator(_schedule)]

OFFICE_HOURS = _schedule({day: {"enabled": True, "hours": [{"start": "09:00", "end": "17:00"}]} for day in DAYS[:5]})
"""The default schedule: the newest concept pages say 8 to 17, all others 9 to 17."""
CLOSED = _schedule({})


def open_hours(schedule: Record, zone: str, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
    """Yield the opening hours from one day to another, inclusive."""
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        plan = schedule[DAYS[day.weekday()]]
        if plan["enabled"]:
            for hour in plan["hours"]:
                yield _at(day, hour["start"], zone), _at(day, hour["end"], zone)


def _at(day: date, hour: str, zone: str) -> datetime:
    if hour == "24:00":
        day, hour = day + timedelta(days=1), "00:00"
    return datetime.combine(day, time.fromisoformat(hour), ZoneInfo(zone)).astimezone(UTC)
