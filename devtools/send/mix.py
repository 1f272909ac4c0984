"""Generate the bodies of a load run, in the order in which they are sent."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

from devtools.send import samples

Body = dict[str, Any]
Lifecycle = Callable[[str, datetime, datetime], list[Body]]

EVENT_INTERVAL = timedelta(minutes=1)
"""Time between two events of a booking; all of them are in the past."""


def same_event(event: str, booking: str | None, run: str, count: int, now: datetime) -> list[bytes]:
    """Return N samples of one event, all with different bytes.

    Args:
        event: name of the event.
        booking: id of the booking in all of them; None for a new booking each.
        run: id of this run, from which the ids of new bookings are derived.
        count: number of samples.
        now: the time, UTC.
    """
    bodies = (
        samples.sample(event, booking or booking_id(run, number), now - timedelta(milliseconds=count - number))
        for number in range(count)
    )
    return [_encode(body) for body in bodies]


def mix(run: str, count: int, now: datetime, rng: Random) -> list[bytes]:
    """Return N deliveries about bookings that are created, then moved, cancelled, or left by a guest, in order."""
    bodies: list[bytes] = []
    for number in range(count):
        lifecycle, start = rng.choice(LIFECYCLES), now + timedelta(days=rng.randint(1, 30))
        events = lifecycle(booking_id(run, number), start.replace(minute=0, second=0, microsecond=0), now)
        bodies += [_encode(body) for body in events]
        if len(bodies) >= count:
            break
    return bodies[:count]


def repeated(bodies: Sequence[bytes], share: float, rng: Random) -> list[bytes]:
    """Return the bodies with repeats, each right after its original; `share` is a number, or a share of all."""
    count = share if isinstance(share, int) else round(share * len(bodies))
    times = [1 + count // len(bodies)] * len(bodies)
    for number in rng.sample(range(len(bodies)), count % len(bodies)):
        times[number] += 1
    return [body for body, times_sent in zip(bodies, times, strict=True) for _ in range(times_sent)]


def booking_id(run: str, number: int) -> str:
    """Return an id whose first characters are unique too, since lists show only those."""
    return f"sample-{sha256(f'{run} {number}'.encode()).hexdigest()[:12]}"


def _moved(booking: str, start: datetime, now: datetime) -> list[Body]:
    later = start + timedelta(hours=2)
    return [
        samples.created(booking, start, now - 3 * EVENT_INTERVAL),
        samples.rescheduled(booking, later, now - 2 * EVENT_INTERVAL, start),
    ]


def _cancelled(booking: str, start: datetime, now: datetime) -> list[Body]:
    return [
        samples.created(booking, start, now - 3 * EVENT_INTERVAL),
        samples.cancelled(booking, start, now - EVENT_INTERVAL),
    ]


def _moved_and_cancelled(booking: str, start: datetime, now: datetime) -> list[Body]:
    return [*_moved(booking, start, now), samples.cancelled(booking, start + timedelta(hours=2), now - EVENT_INTERVAL)]


def _left_by_a_guest(booking: str, start: datetime, now: datetime) -> list[Body]:
    guests = [samples.guest(1), samples.guest(2)]
    return [
        samples.created(booking, start, now - 3 * EVENT_INTERVAL, attendees=guests),
        samples.attendee_left(booking, start, now - EVENT_INTERVAL),
    ]


def _created_only(booking: str, start: datetime, now: datetime) -> list[Body]:
    return [samples.created(booking, start, now - 3 * EVENT_INTERVAL)]


LIFECYCLES: tuple[Lifecycle, ...] = (
    _created_only,
    _created_only,
    _moved,
    _moved,
    _cancelled,
    _moved_and_cancelled,
    _left_by_a_guest,
)
"""What can happen to a booking. One that is listed twice is twice as likely."""


def _encode(body: Body) -> bytes:
    return json.dumps(body).encode()
