"""The story of the demo: what happens, in which order, and what is promised of each."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from devtools.demo.actors import LOST, ActionResult, Actors
from devtools.send import samples

NOTHING_STORED = "nothing stored"
NOTHING_NEW = "nothing new"
ACCEPTED = "200 accepted"


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Attributes:
        title: what.
        run: lets it happen.
        expected: what is promised to come of it.
        response: what the receiver is promised to answer; None for whatever a command prints.
    """

    title: str
    run: Callable[[Actors], ActionResult]
    expected: str
    response: str | None = ACCEPTED


def scenario(now: datetime, max_body: int, reconcile: Callable[[Actors], ActionResult]) -> Iterator[Step]:
    """The scenes.

    Args:
        now: the bookings are for the days after.
        max_body: the receiver's limit, in bytes.
        reconcile: lets the operator compare our bookings with meetergo's.
    """
    yield Step("a guest books", lambda actors: actors.guest_books(1), "booking created")
    yield Step("meetergo repeats it", lambda actors: actors.meetergo_repeats(), NOTHING_NEW)
    yield Step("the guest moves it", lambda actors: actors.guest_moves(1), "booking rescheduled")
    yield Step("the guest cancels it", lambda actors: actors.guest_cancels(), "booking cancelled")
    yield from _bodies(now, max_body)
    yield Step("one more, unheard", lambda actors: actors.guest_books_undelivered(2), NOTHING_STORED, LOST)
    yield Step("console reconcile", reconcile, "booking created", None)


def _bodies(now: datetime, max_body: int) -> Iterator[Step]:
    """What the stand-in does not do by itself is posted: bookings of a host whom the platform does not know."""
    second, group, later = now + timedelta(days=2), now + timedelta(days=3), now + timedelta(minutes=1)
    guests = [samples.guest(1), samples.guest(2)]

    def posted(title: str, body: dict[str, Any] | bytes, expected: str, response: str = ACCEPTED) -> Step:
        content = body if isinstance(body, bytes) else _json(body)
        return Step(title, lambda actors: actors.post(content, forged=response.startswith("404")), expected, response)

    yield posted("a cancel out of order", samples.cancelled("demo-2", second, later), "booking cancelled")
    yield posted("its create, too late", samples.created("demo-2", second, now), NOTHING_NEW)
    yield posted("a group of two", samples.created("demo-3", group, now, attendees=guests), "booking created")
    yield posted("one guest leaves it", samples.attendee_left("demo-3", group, later), "booking attendee left")
    yield posted("a forged address", samples.created("demo-4", group, now), NOTHING_STORED, "404 not found")
    yield posted("a body above the limit", b"x" * (max_body + 1), NOTHING_STORED, "413 body too large")
    yield posted("a body that is no JSON", b"not json", "dead: the body is not JSON")
    yield posted("an unknown event", b'{"webhookType":"form_submission"}', "kept: nobody handles this event")


BOOKINGS = ["cancelled", "cancelled", "confirmed", "confirmed"]
"""How the story ends, in the order in which the bookings became known."""

NOTIFICATIONS = ["created", "rescheduled", "cancelled", "cancelled", "created", "attendee_left", "created"]
"""What the host is told, in order, once by each channel."""


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
