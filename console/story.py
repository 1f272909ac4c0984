"""The story of the demo: what is delivered, in which order, and what is promised of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console import samples

NOTHING_STORED = "nothing stored"
NOTHING_NEW = "nothing new"


@dataclass(frozen=True)
class Scene:
    """One delivery.

    Attributes:
        title: what is sent.
        body: the bytes.
        becomes: what is promised to come of it.
        status: the promised answer.
        forged: whether it goes to an address that we never signed.
    """

    title: str
    body: bytes
    becomes: str
    status: int = 200
    forged: bool = False


def story(now: datetime, max_body: int) -> Iterator[Scene]:
    """The scenes.

    Args:
        now: the bookings are for the days after.
        max_body: the receiver's limit, in bytes.
    """
    first, second, group = (now + timedelta(days=day) for day in (1, 2, 3))
    moved, later = first + timedelta(hours=5), now + timedelta(minutes=1)
    created = _json(samples.created("demo-1", first, now))
    yield Scene("booking_created", created, "booking created")
    yield Scene("the same once more", created, NOTHING_NEW)
    yield Scene(
        "booking_rescheduled",
        _json(samples.rescheduled("demo-1", moved, later, first)),
        "booking rescheduled",
    )
    yield Scene(
        "booking_cancelled",
        _json(samples.cancelled("demo-1", moved, later + timedelta(minutes=1))),
        "booking cancelled",
    )
    yield Scene("a cancel out of order", _json(samples.cancelled("demo-2", second, later)), "booking cancelled")
    yield Scene("its create, too late", _json(samples.created("demo-2", second, now)), NOTHING_NEW)
    guests = [samples.guest(1), samples.guest(2)]
    yield Scene(
        "a group of two",
        _json(samples.created("demo-3", group, now, attendees=guests)),
        "booking created",
    )
    yield Scene(
        "one guest leaves it",
        _json(samples.attendee_left("demo-3", group, later)),
        "booking attendee left",
    )
    yield Scene("a forged address", _json(samples.created("demo-4", first, now)), NOTHING_STORED, 404, forged=True)
    yield Scene("a body above the limit", b"x" * (max_body + 1), NOTHING_STORED, 413)
    yield Scene("a body that is no JSON", b"not json", "dead: the body is not JSON")
    yield Scene("an unknown event", b'{"webhookType":"form_submission"}', "kept: nobody handles this event")


BOOKINGS = {"demo-1": "cancelled", "demo-2": "cancelled", "demo-3": "confirmed"}
"""How the story ends."""

NEWS = ["created", "rescheduled", "cancelled", "cancelled", "created", "attendee_left"]
"""What the host is told, in order, once by each channel."""


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
