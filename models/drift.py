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

UNORDERED = {"attendees", "host_ids"}
"""meetergo lists them in any order."""
IN_LANGUAGES = ("meeting_name", "location", "cancel_reason")
NO_DRIFT = {"as_of"}
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


def drift(known: Booking | None, event: BookingEvent) -> Drift | None:
    """How our row differs from an event; None if learning it would change nothing.

    Args:
        known: our row, which stays as it is; None if there is none.
        event: what is told of this booking.
    """
    before, after = known.seen() if known else {}, _taught(known, event).seen()
    columns = {
        name: (before.get(name), after[name])
        for name in after
        if name not in NO_DRIFT and (known is None or _said(name, before[name]) != _said(name, after[name]))
    }
    return Drift(event.booking_id, _kind(known, after), columns) if columns else None


def known_bookings(session: Session, ids: Sequence[str]) -> dict[str, Booking]:
    """Id -> booking, for those that we know."""
    return {row.id: row for row in session.scalars(select(Booking).where(Booking.id.in_(ids)))}


def _taught(known: Booking | None, event: BookingEvent) -> Booking:
    """A copy that no session knows, after the event. Whose booking it is does not follow from the event alone."""
    if known:
        copy = Booking(**{column.key: getattr(known, column.key) for column in inspect(Booking).column_attrs})
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
    copy.learn(event, lambda *_: copy.platform_user_id, event.received_at or event.at)
    for name in IN_LANGUAGES if known else ():
        _keep_language(copy, name, getattr(known, name))
    return copy


def _keep_language(copy: Booking, name: str, known: str | None) -> None:
    """Nobody looks up the host of a copy: of a text in several languages, the known one is as good."""
    if any(known in register[1].values() for register in copy.facts.values() if isinstance(register[1], dict)):
        setattr(copy, name, known)


def _kind(known: Booking | None, after: Mapping[str, Any]) -> DriftKind:
    if known is None:
        return "missed"
    if known.status != after["status"]:
        return "cancelled" if after["status"] == "cancelled" else "revived"
    return "changed"


def _said(name: str, value: Any) -> Any:
    """PostgreSQL keeps the keys of an object in an order of its own."""
    return sorted(json.dumps(item, sort_keys=True) for item in value) if name in UNORDERED else value
