"""Availability: when a user can be booked, and which times are still free."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from pydantic import ValidationError

from meetergo.api import schemas
from meetergo.api.errors import InvalidCall
from meetergo.api.request import identifier
from meetergo.api.resources.meeting_types import MeetingTypes
from meetergo.api.schedule import Week, schedule
from meetergo.api.schemas import Slot, Spot
from meetergo.api.session import Resource, Response, without_none


class AvailabilityResource(Resource):
    """API calls for opening hours and free slots."""

    def get(self, availability_id: str) -> schemas.Availability:
        """Return one availability of a user."""
        path = f"/v4/availability/{identifier(availability_id, 'availability')}"
        return self._session.get(path).one(schemas.Availability)

    def update(
        self, availability_id: str, *, name: str | None = None, week: Week | None = None
    ) -> schemas.Availability:
        """Set a user's hours for all seven days; days missing from the week are closed. Idempotent.

        Returns:
            The availability as read back.

        Raises:
            InvalidCall: nothing to change, or an invalid day or time.
        """
        changes = without_none(name=name, schedule=None if week is None else schedule(week))
        if not changes:
            raise InvalidCall("nothing to change: give a name or a week")
        self._session.patch(f"/v4/availability/{identifier(availability_id, 'availability')}", changes)
        return self.get(availability_id)

    def slots(
        self,
        meeting_type_id: str,
        start: date | datetime,
        end: date | datetime,
        *,
        host_ids: Sequence[str] = (),
        queue_id: str | None = None,
        duration: int | None = None,
        timezone: str | None = None,
        refresh: bool = False,
    ) -> list[Slot]:
        """Return the free slots, in order.

        Args:
            meeting_type_id: the meeting type to book.
            start: the first day or moment.
            end: the last day or moment; if equal to the start, the day after.
            host_ids: the hosts. Without hosts and queue, the meeting type is read to find them.
            queue_id: any host of this queue instead.
            duration: in minutes, where the meeting type offers several.
            timezone: determines when days begin.
            refresh: bypass meetergo's cache; use it after `SlotTaken`.

        Raises:
            InvalidCall: a moment lacks a timezone, or the end is before the start.
        """
        meeting_type_id = identifier(meeting_type_id, "meeting type")
        first, last = _bounds(start, end)
        query = without_none(
            meetingTypeId=meeting_type_id,
            start=first,
            end=last,
            meetingDuration=duration,
            timezone=timezone,
            refreshCache="true" if refresh else None,
        )
        hosts_or_queue = self._hosts_or_queue(meeting_type_id, host_ids, queue_id)
        return _slots(
            self._session.get("/v4/booking-availability", {**query, **hosts_or_queue}, impersonation="optional")
        )

    def _hosts_or_queue(
        self, meeting_type_id: str, host_ids: Sequence[str], queue_id: str | None
    ) -> dict[str, str | list[str]]:
        """Return the parameters that name the hosts. Despite its documentation, meetergo answers 400 without them."""
        if host_ids:
            return {"hostIds": [identifier(host_id, "host") for host_id in host_ids]}
        if queue_id:
            return {"queueId": identifier(queue_id, "queue")}
        return self._owner_of(meeting_type_id)

    def _owner_of(self, meeting_type_id: str) -> dict[str, str | list[str]]:
        owner = MeetingTypes(self._session).get(meeting_type_id)
        if owner.queue_id:
            return {"queueId": owner.queue_id}
        if owner.user_id:
            return {"hostIds": [owner.user_id]}
        raise InvalidCall("the meeting type names neither a host nor a queue: name a host")


def _slots(response: Response) -> list[Slot]:
    dates = response.body.get("dates") if isinstance(response.body, dict) else None
    if not isinstance(dates, list):
        raise response.bad_response("there are no dates in it")
    try:
        spots = [Spot.model_validate(spot) for day in dates for spot in day.get("spots") or ()]
    except (ValidationError, AttributeError, TypeError):
        raise response.bad_response("a spot has no time") from None
    free = {spot.start: Slot(spot.start, spot.spots_left) for spot in spots if spot.is_free}
    return sorted(free.values())


def _bounds(start: date | datetime, end: date | datetime) -> tuple[str, str]:
    for bound in (start, end):
        if isinstance(bound, datetime) and bound.tzinfo is None:
            raise InvalidCall("a moment needs a timezone")
    if isinstance(start, datetime) != isinstance(end, datetime) or end < start:
        raise InvalidCall("start and end should be two days or two moments, the earlier one first")
    return start.isoformat(), (end + timedelta(days=1) if end == start else end).isoformat()
