"""Drift: the difference between a booking and an event, computed without writing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import inspect

from meetergo.events import BookingEvent
from models.booking import Booking

DriftKind = Literal["missed", "changed", "cancelled", "revived"]

UNORDERED_COLUMNS = {"attendees", "host_ids"}
"""meetergo lists them in any order."""
LOCALIZED_COLUMNS = ("meeting_name", "location", "cancel_reason")
IGNORED_COLUMNS = {"as_of"}
"""`as_of` also advances when meetergo changes a booking without sending a webhook."""


@dataclass(frozen=True)
class Drift:
    """A booking that differs from an event.

    Attributes:
        booking_id: the provider's booking id.
        kind: `missed` if the booking was unknown.
        columns: column -> current value and value after the event.
    """

    booking_id: str
    kind: DriftKind
    columns: Mapping[str, tuple[Any, Any]] = field(repr=False)


def drift(current: Booking | None, event: BookingEvent) -> Drift | None:
    """Compute how a booking differs from an event; None if applying the event would change nothing.

    Args:
        current: the booking, which stays unchanged; None if there is none.
        event: the event to compare with.
    """
    before, after = current.public_columns() if current else {}, _after_applying(current, event).public_columns()
    columns = {
        name: (before.get(name), after[name])
        for name in after
        if name not in IGNORED_COLUMNS
        and (current is None or _normalised(name, before[name]) != _normalised(name, after[name]))
    }
    return Drift(event.booking_id, _kind(current, after), columns) if columns else None


def _after_applying(current: Booking | None, event: BookingEvent) -> Booking:
    """Apply the event to a detached copy. The owner is not compared: it does not follow from the event alone."""
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
    """Keep the current translation of localized texts: a detached copy does not know its host's language."""
    if any(current in register[1].values() for register in copy.facts.values() if isinstance(register[1], dict)):
        setattr(copy, name, current)


def _kind(current: Booking | None, after: Mapping[str, Any]) -> DriftKind:
    if current is None:
        return "missed"
    if current.status != after["status"]:
        return "cancelled" if after["status"] == "cancelled" else "revived"
    return "changed"


def _normalised(name: str, value: Any) -> Any:
    """Make a JSON value comparable: PostgreSQL stores the keys of an object in its own order."""
    return sorted(json.dumps(item, sort_keys=True) for item in value) if name in UNORDERED_COLUMNS else value
