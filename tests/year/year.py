"""A year at the provider: bookings are made, moved, joined, left and cancelled, in a seeded order."""

from collections import Counter
from datetime import datetime
from random import Random
from typing import Any

from devtools.sandbox.server import Sandbox
from tests.worker.provider import free_start

SEED = 2026
GROUPS_OF = 4


class Year:
    """Run the year.

    Args:
        meetergo: the sandbox.
        hosts: the hosts. Every third has group meetings.
        bookings: number of bookings.
    """

    def __init__(self, meetergo: Sandbox, hosts: list[str], bookings: int) -> None:
        self._meetergo = meetergo
        self._hosts = hosts
        self._bookings = bookings
        self._random = Random(SEED)
        self._next_slot: Counter[str] = Counter()
        self._type_of = {item["userId"]: item["id"] for item in meetergo.meeting_types.values()}
        for host in hosts[::3]:
            meetergo.meeting_types[self._type_of[host]]["spots"] = GROUPS_OF

    def run(self) -> None:
        """Run everything; return when every delivery that is not lost was sent."""
        made: list[str] = []
        for number in range(self._bookings):
            made.append(self._book(number))
            for _ in range(self._random.choice((0, 1, 1, 2))):
                self._change(self._random.choice(made), number)
        self._meetergo.drain()

    def _book(self, number: int) -> str:
        host = self._random.choice(self._hosts)
        guest = f"guest-{number}@example.com"
        booked = self._meetergo.actions.book(self._type_of[host], self._free(host), guest)
        return str(booked["appointmentId"])

    def _change(self, booking_id: str, number: int) -> None:
        record = self._meetergo.appointments[booking_id]
        if record["isCancelled"]:
            return
        happens = self._random.choice((self._move, self._move, self._cancel, self._come_and_go))
        happens(record, number)

    def _move(self, record: dict[str, Any], number: int) -> None:
        self._meetergo.actions.reschedule(record["id"], self._free(record["hostIds"][0]))

    def _cancel(self, record: dict[str, Any], number: int) -> None:
        self._meetergo.actions.cancel(record["id"], f"reason {number}")

    def _come_and_go(self, record: dict[str, Any], number: int) -> None:
        guests = record["attendees"]
        if len(guests) > 1 and self._random.random() < 0.5:
            self._meetergo.actions.leave(record["id"], self._random.choice(guests)["id"])
        elif self._meetergo.meeting_types[record["meetingTypeId"]]["spots"] > len(guests):
            start = datetime.fromisoformat(record["start"])
            self._meetergo.actions.book(record["meetingTypeId"], start, f"friend-{number}@example.com")

    def _free(self, host: str) -> datetime:
        """Return a half hour that was never used."""
        self._next_slot[host] += 1
        return free_start(self._next_slot[host])
