"""Stories: what meetergo would post of many bookings, and how each must end, known from how it was made."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from devtools.send import samples

BODIES_OF_A_STORY = 4
BOOKED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AHEAD = timedelta(days=36_500)
"""From when it was booked to the meeting, of which nobody is told once it is over."""
REPEATED, LATE = 0.1, 1.5
"""The share of bodies that come twice, and by how many steps a body may come too late or too early."""

Json = dict[str, Any]
PLOTS = ("create", "create move", "create move move", "create move cancel", "create left move", "move cancel", "cancel")


@dataclass(frozen=True)
class ExpectedBooking:
    """How a booking must be in the end."""

    status: str
    starts_at: datetime
    guests: int


@dataclass(frozen=True)
class BookingScenario:
    """The bodies of one booking, in the order in which they happened."""

    booking_id: str
    bodies: tuple[bytes, ...]
    expected: ExpectedBooking


def make_scenarios(random: Random, bodies: int) -> list[BookingScenario]:
    """So many that together they have at least so many bodies."""
    scenarios: list[BookingScenario] = []
    while sum(len(scenario.bodies) for scenario in scenarios) < bodies:
        number = len(scenarios)
        plot = random.choice(PLOTS).split()
        updates = ["update"] * max(0, BODIES_OF_A_STORY - len(plot))
        scenarios.append(_scenario(random, number, plot[:1] + updates + plot[1:]))
    return scenarios


def as_posted(random: Random, scenarios: list[BookingScenario]) -> list[bytes]:
    """All their bodies as they arrive: interleaved, some out of order, some twice."""
    timed = [
        (turn + step + random.gauss(0, LATE), body)
        for turn, scenario in enumerate(scenarios)
        for step, body in enumerate(scenario.bodies)
    ]
    repeats = [(when + random.uniform(0, 4 * LATE), body) for when, body in timed if random.random() < REPEATED]
    return [body for _, body in sorted(timed + repeats)]


def single_booking(booking_id: str, minute: int = 0) -> BookingScenario:
    """A booking that is only created."""
    at = BOOKED_AT + timedelta(minutes=minute)
    start = at + AHEAD
    body = samples.created(booking_id, start, at)
    return BookingScenario(booking_id, (json.dumps(body).encode(),), ExpectedBooking("confirmed", start, 1))


def webinar(booking_id: str, changes: int, guests: int) -> BookingScenario:
    """A booking with many guests that changes often: each body holds all of them."""
    start = BOOKED_AT + AHEAD
    attendees = [samples.guest(number + 1) | {"notes": "As told by the form. " * 4} for number in range(guests)]
    times = [BOOKED_AT + timedelta(seconds=number) for number in range(changes)]
    bodies = [samples.created(booking_id, start, at, attendees=attendees, updatedAt=at.isoformat()) for at in times]
    return BookingScenario(
        booking_id, tuple(json.dumps(body).encode() for body in bodies), ExpectedBooking("confirmed", start, guests)
    )


def _scenario(random: Random, number: int, plot: list[str]) -> BookingScenario:
    booking_id = f"booking-{number}"
    start, at = BOOKED_AT + AHEAD + timedelta(hours=number), BOOKED_AT + timedelta(seconds=number)
    status, guests = "confirmed", 2 if "left" in plot else 1
    bodies = []
    for act in plot:
        at += timedelta(minutes=1)
        old, attendees = start, [samples.guest(guest + 1) for guest in range(guests)]
        if act == "move":
            start += timedelta(minutes=15)
            body = samples.rescheduled(booking_id, start, at, old, attendees=attendees)
        elif act == "left":
            guests = 1
            body = samples.attendee_left(booking_id, start, at)
        elif act == "cancel":
            status, guests = "cancelled", 1
            body = samples.cancelled(booking_id, start, at)
        else:
            body = samples.created(booking_id, start, at, attendees=attendees)
        _innermost(body)["meetingType"]["meetingInfo"]["name"] = f"Call {number}"
        bodies.append(json.dumps(_in_either_format(random, body)).encode())
    return BookingScenario(booking_id, tuple(bodies), ExpectedBooking(status, start, guests))


def _innermost(body: Json) -> Json:
    nested: Json = body.get("data", {}).get("rescheduledAppointment", body)
    return nested


def _in_either_format(random: Random, body: Json) -> Json:
    """The samples know each event in one wire format; the other says the same."""
    if random.random() < 0.5:
        return body
    if "event" in body:
        return {"webhookType": body["event"], **body["data"]}
    return {"event": body["webhookType"], "data": {name: body[name] for name in body if name != "webhookType"}}
