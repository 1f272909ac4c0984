"""The calendar of a host: opening hours, meetings, and whether another meeting fits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from devtools.sandbox.resources import availabilities
from devtools.sandbox.resources.schedules import open_hours
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import moment


class Interval(NamedTuple):
    """A time interval, UTC."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Interval") -> bool:
        """Whether two intervals overlap."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: "Interval") -> bool:
        """Whether this interval contains another."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True)
class Calendar:
    """One host's time for one meeting type; an instance serves one request.

    Attributes:
        ignoring: an appointment to ignore, since it is about to be moved.
    """

    company: Company
    host_id: str
    meeting_type: Record
    ignoring: str | None = None

    def hours(self, within: Interval) -> list[Interval]:
        """Return the opening hours."""
        week = self._week
        first, last = (time.date() + timedelta(days=days) for time, days in zip(within, (-1, 1), strict=True))
        intervals = (Interval(*hours) for hours in open_hours(week["schedule"], week["timezone"], first, last))
        return [interval for interval in intervals if interval.overlaps(within)]

    def is_bookable(self, meeting: Interval) -> bool:
        """Whether a meeting of an enabled type is within notice, horizon and opening hours, and overlaps no other."""
        now, rules = self.company.now(), self.meeting_type
        soonest = now + timedelta(minutes=rules["bookingMinimum"])
        latest = now + timedelta(days=rules["daysIntoFuture"])
        return (
            rules.get("enabled", True)
            and soonest <= meeting.start <= latest
            and any(hours.contains(meeting) for hours in self.hours(meeting))
            and not self.conflicts(meeting)
        )

    def conflicts(self, meeting: Interval) -> list[Interval]:
        """Return the conflicting meetings, with their buffers and this type's."""
        ours = _with_buffers(meeting, self.meeting_type)
        return [busy for busy in self._busy if busy.overlaps(ours)]

    @cached_property
    def _week(self) -> Record:
        named = self.company.availabilities.get(self.meeting_type["availabilityId"] or "")
        if named and named["userId"] == self.host_id:
            return named
        return availabilities.default_of(self.company, self.host_id)

    @cached_property
    def _busy(self) -> list[Interval]:
        types = self.company.meeting_types
        return [
            _with_buffers(interval_of(appointment), types.get(appointment["meetingTypeId"]))
            for appointment in self.company.appointments.values()
            if self.host_id in appointment["hostIds"]
            and not appointment["isCancelled"]
            and appointment["id"] != self.ignoring
        ]


def interval_of(appointment: Record) -> Interval:
    """Return the interval of an appointment."""
    return Interval(moment(appointment["start"]), moment(appointment["end"]))


def _with_buffers(interval: Interval, meeting_type: Record | None) -> Interval:
    info = meeting_type["meetingInfo"] if meeting_type else {}
    before, after = (timedelta(minutes=info.get(name, 0)) for name in ("bufferBefore", "bufferAfter"))
    return Interval(interval.start - before, interval.end + after)
