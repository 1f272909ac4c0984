"""Handling: a delivery's event meets its handler, and the delivery comes to its end."""

from collections.abc import Iterator
from datetime import datetime

from meetergo.events import Event
from models.delivery import Delivery
from worker.inbox.context import Change, HandlerContext
from worker.inbox.handlers import HANDLERS, HandlerNote


def run_handler(context: HandlerContext, delivery: Delivery, event: Event) -> Iterator[Change]:
    """Yields the changes that a delivery causes, each while its booking is as it made it. To end it is `complete`."""
    handler = HANDLERS.get(event.type)
    for change in handler(context, event) if handler else ():
        if isinstance(change, HandlerNote):
            delivery.note = change.text
            continue
        change.delivery_id, change.is_late = delivery.id, delivery.is_late(context.now)
        yield change


def complete(delivery: Delivery, event: Event, now: datetime) -> None:
    """A delivery was handled. To be called after the savepoint in which it was, since its row was locked before that.

    PostgreSQL keeps a row that is locked outside of a savepoint and changed in it as two transactions'. Its index never
    forgets such a row before the next vacuum, and each search for what waits would visit all that was worked off.
    """
    unhandled = None if event.type in HANDLERS else "nobody handles this event"
    delivery.note = "; ".join(note for note in (delivery.note, unhandled, event.note) if note) or None
    delivery.finish(now)
