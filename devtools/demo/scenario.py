"""The scenario of the demo: its steps in order, with the expected result of each."""

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
    """One step.

    Attributes:
        title: what happens.
        run: performs the step.
        expected: the expected result.
        response: the receiver's expected response; None for a command, whose output is shown as it is.
    """

    title: str
    run: Callable[[Actors], ActionResult]
    expected: str
    response: str | None = ACCEPTED


def scenario(now: datetime, max_body: int, reconcile: Callable[[Actors], ActionResult]) -> Iterator[Step]:
    """Yield the steps.

    Args:
        now: current time; bookings are on the following days.
        max_body: the receiver's limit, in bytes.
        reconcile: runs the operator's `reconcile`.
    """
    yield Step("a guest books", lambda actors: actors.guest_books(1), "booking created")
    yield Step("meetergo repeats it", lambda actors: actors.meetergo_repeats(), NOTHING_NEW)
    yield Step("the guest moves it", lambda actors: actors.guest_moves(1), "booking rescheduled")
    yield Step("the guest cancels it", lambda actors: actors.guest_cancels(), "booking cancelled")
    yield from _bodies(now, max_body)
    yield Step("one more, webhook lost", lambda actors: actors.guest_books_undelivered(2), NOTHING_STORED, LOST)
    yield Step("bin/inbox reconcile", reconcile, "booking created", None)


def _bodies(now: datetime, max_body: int) -> Iterator[Step]:
    """Yield steps that post bodies which the sandbox does not send: bookings of a host unknown to the platform."""
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
    yield posted("a body that is not JSON", b"not json", "dead: the body is not JSON")
    yield posted("an unknown event", b'{"webhookType":"form_submission"}', "kept: nobody handles this event")


BOOKINGS = ["cancelled", "cancelled", "confirmed", "confirmed"]
"""Expected statuses at the end, in the order in which the bookings became known."""

NOTIFICATIONS = ["created", "rescheduled", "cancelled", "cancelled", "created", "attendee_left", "created"]
"""Expected notifications of the host, in order, once per channel."""


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
