"""Opening hours as people write them in a table: `mon-thu 09:00-12:00 13:00-18:00; fri 09:00-16:00`."""

import re
from itertools import pairwise

from meetergo.api.errors import InvalidCall
from meetergo.api.schedule import DAYS, schedule

DEFAULT_HOURS = "mon-fri 09:00-17:00"

DAY_ABBREVIATIONS = [day[:3] for day in DAYS]
PART_PATTERN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?((?:\s+\d\d:\d\d-\d\d:\d\d)+)")


def parse_hours(text: str) -> dict[str, list[tuple[str, str]]]:
    """Parse days (one, or a range) and times to day -> intervals; parts are separated by `;` or `,`.

    Raises:
        ValueError: the text is malformed, or times overlap; names the part.
    """
    week: dict[str, list[tuple[str, str]]] = {}
    for part in filter(None, map(str.strip, re.split(r"[;,]", text.lower()))):
        found = PART_PATTERN.fullmatch(part)
        if not found or not {found[1], found[2] or found[1]} <= set(DAY_ABBREVIATIONS):
            raise ValueError(f"'{part}' are not hours: write them like '{DEFAULT_HOURS}'")
        intervals = [tuple(interval.split("-")) for interval in found[3].split()]
        for day in _days(found[1], found[2] or found[1]):
            week.setdefault(day, []).extend((start, end) for start, end in intervals)
    _validate(week)
    return {day: sorted(intervals) for day, intervals in week.items()}


def _days(first: str, last: str) -> list[str]:
    """Return the days of a range, which may wrap around Sunday."""
    start, end = DAY_ABBREVIATIONS.index(first), DAY_ABBREVIATIONS.index(last)
    return [DAYS[number % 7] for number in range(start, end + 1 if end >= start else end + 8)]


def _validate(week: dict[str, list[tuple[str, str]]]) -> None:
    try:
        schedule(week)
    except InvalidCall as error:
        raise ValueError(str(error)) from None
    for day, intervals in week.items():
        ordered = sorted(intervals)
        if any(after[0] < before[1] for before, after in pairwise(ordered)):
            raise ValueError(f"the hours of {day} overlap")
