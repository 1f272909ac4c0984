"""A booking as an iCalendar event (RFC 5545), for invites and for the feed of a host's calendar."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from icalendar import STATUS, Event

from worker.channels.text.message_text import MessageRow
from worker.channels.text.sanitize import break_links, one_line, safe_link
from worker.channels.text.time_range import TimeRange

PRODUCT = "-//meetergo-inbox//meetergo-inbox//EN"
UNFIT_FOR_UID = re.compile(r"[^A-Za-z0-9._-]")
ORDINARY_KEY = re.compile(r"(?:[A-Za-z0-9_-]{1,64}:)?[A-Za-z0-9._-]+")
"""A booking's key with nothing unfit but the colon after its account; see `models.account.booking_key`."""


def calendar_event(
    booking: Mapping[str, Any],
    period: TimeRange,
    stamp: datetime,
    *,
    title: str,
    details: Iterable[MessageRow],
    is_cancelled: bool,
    max_description: int | None = None,
) -> Event:
    """Build the event. Its UID is the same in invites and feeds, and SEQUENCE rises with the booking's revision.

    Args:
        booking: id, revision, location and meeting_link; see `Message.booking`.
        period: when it takes place.
        stamp: when the booking became what the event says, UTC.
        title: the meeting and its guests.
        details: the rows of the description.
        is_cancelled: whether it does not take place for this reader.
        max_description: maximum length of the description, in characters; None for no limit.
    """
    link = one_line(booking.get("meeting_link"))
    description = "\n".join(f"{row.label}: {'; '.join(row.lines)}" for row in details)
    return Event.new(
        uid=_uid(str(booking["id"])),
        sequence=max(0, int(booking.get("revision") or 1) - 1),
        stamp=stamp,
        start=period.start,
        end=period.end,
        summary=break_links(title),
        description=description[:max_description] or None,
        location=break_links(one_line(booking.get("location")))
        or (link if safe_link(link) else break_links(link))
        or None,
        url=safe_link(link),
        status=STATUS.CANCELLED if is_cancelled else STATUS.CONFIRMED,
    )


def _uid(key: str) -> str:
    """Return the UID of a booking. What replaces other characters must not make two of them one: `a/b` is not `a-b`."""
    name = UNFIT_FOR_UID.sub("-", key)
    digest = "" if ORDINARY_KEY.fullmatch(key) else f"-{sha256(key.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return f"{name}{digest}@meetergo-inbox"
