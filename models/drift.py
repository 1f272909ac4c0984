"""Drift: what an event would change of a booking, seen without writing anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent
from models.booking import Booking

DriftKind = Literal["missed", "changed", "cancelled", "revived"]

UNORDERED_COLUMNS = {"attendees", "host_ids"}
"""meetergo lists them in any order."""
LOCALIZED_COLUMNS = ("meeting_name", "location", "cancel_reason")
IGNORED_COLUMNS = {"as_of"}
"""Also moves when meetergo touched a booking in a way that nobody is told of."""


@dataclass(frozen=True)
class Drift:
    """A booking that is not what an event says.

    Attributes:
        booking_id: the provider's.
        kind: `missed` if we did not know it at all.
        columns: column -> what it is and what it would become.
    """

    booking_id: str
    kind: DriftKind
    columns: Mapping[str, tuple[Any, Any]] = field(repr=False)


def drift(current: Booking | None, event: BookingEvent) -> Drift | None:
    """How our row differs from an event; None if learning it would change nothing.

    Args:
        current: our row, which stays as it is; None if there is none.
        event: what is told of this booking.
    """
    before, after = current.public_columns() if current else {}, _after_applying(current, event).public_columns()
    columns = {
        name: (before.get(name), after[name])
        for name in after
        if name not in IGNORED_COLUMNS
        and (current is None or _normalised(name, before[name]) != _normalised(name, after[name]))
    }
    return Drift(event.booking_id, _kind(current, after), columns) if columns else None


def bookings_by_id(session: Session, ids: Sequence[str]) -> dict[str, Booking]:
    """Id -> booking, for those that we know."""
    return {row.id: row for row in session.scalars(select(Booking).where(Booking.id.in_(ids)))}


def _after_applying(current: Booking | None, event: BookingEvent) -> Booking:
    """A copy that no session knows, after the event. Whose booking it is does not follow from the event alone."""
    if current:
        copy = Booking(**{column.key: getattr(current, column.key) for column in inspect(Booking).column_attrs})
    else:
        copy = Booking(
            id=event.booking_id,
            status="confirmed",
            attendees=[],
            host_ids=[],
            metadata_={},
            facts={},
            version="",
            revision=0,
            as_of=event.at,
        )
    copy.apply(event, lambda *_: copy.platform_user_id, event.received_at or event.at)
    for name in LOCALIZED_COLUMNS if current else ():
        _keep_translation(copy, name, getattr(current, name))
    return copy


def _keep_translation(copy: Booking, name: str, current: str | None) -> None:
    """Nobody looks up the host of a copy: of a text in several languages, the known one is as good."""
    if any(current in register[1].values() for register in copy.facts.values() if isinstance(register[1], dict)):
        setattr(copy, name, current)


def _kind(current: Booking | None, after: Mapping[str, Any]) -> DriftKind:
    if current is None:
        return "missed"
    if current.status != after["status"]:
        return "cancelled" if after["status"] == "cancelled" else "revived"
    return "changed"


def _normalised(name: str, value: Any) -> Any:
    """PostgreSQL keeps the keys of an object in an order of its own."""
    return sorted(json.dumps(item, sort_keys=True) for item in value) if name in UNORDERED_COLUMNS else value
