"""An attendee of a booking, as messages show them."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.text.sanitize import one_line

LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"
"""Without it the groups of a phone number after a Hebrew or Arabic name are shown in reverse order."""


@dataclass(frozen=True)
class MessageAttendee:
    """One attendee. Any field may be empty.

    Attributes:
        key: identifies the attendee within the booking.
        name: the full name.
        email: e-mail address.
        phone: phone number as typed.
    """

    key: str
    name: str
    email: str
    phone: str

    @classmethod
    def parse_all(cls, attendees: Iterable[Mapping[str, Any]] | None) -> "list[MessageAttendee]":
        """Parse a booking's `attendees`."""
        return [cls._of(attendee) for attendee in attendees or ()]

    @classmethod
    def _of(cls, attendee: Mapping[str, Any]) -> "MessageAttendee":
        parts = f"{attendee.get('firstname') or ''} {attendee.get('lastname') or ''}"
        name, email, phone = (
            one_line(value)
            for value in (attendee.get("fullname") or parts, attendee.get("email"), attendee.get("phone"))
        )
        return cls(str(attendee.get("id") or email or phone or name), name, email, phone)

    @property
    def display_name(self) -> str:
        """The name for use in a sentence."""
        return self.name or self.email or self.phone

    @property
    def contact_line(self) -> str:
        """Name, e-mail and phone on one line, as far as known."""
        name = f"{self.name}{LEFT_TO_RIGHT_MARK}" if _is_right_to_left(self.name) else self.name
        return ", ".join(part for part in (name, self.email, self.phone) if part)


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
