"""Scenarios: meetergo's webhooks for many bookings, and the expected end of each."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from devtools.send import samples

BODIES_OF_A_STORY = 4
BOOKED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
READ_AT = BOOKED_AT + timedelta(days=1)
"""After all changes: none is dated ahead of this clock."""
AHEAD = timedelta(days=36_500)
"""Time from booking to meeting: nothing is sent about a meeting that is over."""
REPEATED, LATE = 0.1, 1.5
"""Share of repeated bodies, and the maximum displacement of a reordered one."""

Json = dict[str, Any]
PLOTS = ("create", "create move", "create move move", "create move cancel", "create left move", "move cancel", "cancel")


@dataclass(frozen=True)
class ExpectedBooking:
    """The expected end of a booking."""

    status: str
    starts_at: datetime
    guests: int


@dataclass(frozen=True)
class BookingScenario:
    """The bodies of one booking, in order."""

    booking_id: str
    bodies: tuple[bytes, ...]
    expected: ExpectedBooking


def make_scenarios(random: Random, bodies: int) -> list[BookingScenario]:
    """Make enough scenarios for a number of bodies."""
    scenarios: list[BookingScenario] = []
    while sum(len(scenario.bodies) for scenario in scenarios) < bodies:
        number = len(scenarios)
        plot = random.choice(PLOTS).split()
        updates = ["update"] * max(0, BODIES_OF_A_STORY - len(plot))
        scenarios.append(_scenario(random, number, plot[:1] + updates + plot[1:]))
    return scenarios


def as_posted(random: Random, scenarios: list[BookingScenario]) -> list[bytes]:
    """Return all bodies in the order of arrival: interleaved, some reordered, some repeated."""
    timed = [
        (turn + step + random.gauss(0, LATE), body)
        for turn, scenario in enumerate(scenarios)
        for step, body in enumerate(scenario.bodies)
    ]
    repeats = [(when + random.uniform(0, 4 * LATE), body) for when, body in timed if random.random() < REPEATED]
    return [body for _, body in sorted(timed + repeats)]


def single_booking(booking_id: str, minute: int = 0) -> BookingScenario:
    """Make a booking that is only created."""
    at = BOOKED_AT + timedelta(minutes=minute)
    start = at + AHEAD
    body = samples.created(booking_id, start, at)
    return BookingScenario(booking_id, (json.dumps(body).encode(),), ExpectedBooking("confirmed", start, 1))


def webinar(booking_id: str, changes: int, guests: int) -> BookingScenario:
    """Make a booking with many guests that changes often; each body holds all of them."""
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
    """Return the other wire format of a sample."""
    if random.random() < 0.5:
        return body
    if "event" in body:
        return {"webhookType": body["event"], **body["data"]}
    return {"event": body["webhookType"], "data": {name: body[name] for name in body if name != "webhookType"}}
