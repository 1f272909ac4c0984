"""An attendee: somebody who attends a booking, as far as we know them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.sanitize import one_line


@dataclass(frozen=True)
class MessageAttendee:
    """One attendee. Any of these may be empty.

    Attributes:
        key: tells guests of one booking apart.
        name: the full name.
        email: where to write to.
        phone: as they typed it.
    """

    key: str
    name: str
    email: str
    phone: str

    @classmethod
    def parse_all(cls, attendees: Iterable[Mapping[str, Any]] | None) -> "list[MessageAttendee]":
        """The guests in a booking's `attendees`."""
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
        """What to call them in a sentence."""
        return self.name or self.email or self.phone

    @property
    def contact_line(self) -> str:
        """All that is known, on one line."""
        return ", ".join(part for part in (self.name, self.email, self.phone) if part)
