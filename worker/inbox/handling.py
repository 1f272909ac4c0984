"""Run a delivery's handler and complete the delivery."""

from collections.abc import Iterator
from datetime import datetime

from meetergo.events import Event
from models.delivery import Delivery
from worker.inbox.context import Change, HandlerContext
from worker.inbox.handlers import HANDLERS, HandlerNote


def run_handler(context: HandlerContext, delivery: Delivery, event: Event) -> Iterator[Change]:
    """Yield the changes that a delivery causes, each before the next is made. `complete` ends the delivery."""
    handler = HANDLERS.get(event.type)
    for change in handler(context, event) if handler else ():
        if isinstance(change, HandlerNote):
            delivery.note = change.text
            continue
        change.delivery_id, change.is_late = delivery.id, delivery.is_late(context.now)
        yield change


def complete(delivery: Delivery, event: Event, now: datetime) -> None:
    """Mark a delivery done. Call this outside the savepoint in which it was handled: its row was locked before that.

    PostgreSQL records a row locked outside a savepoint and changed inside it as locked by two transactions. Its index
    entry then stays live until the next vacuum, and every query for due rows would visit all that are done.
    """
    unhandled = None if event.type in HANDLERS else "nobody handles this event"
    delivery.note = "; ".join(note for note in (delivery.note, unhandled, event.note) if note) or None
    delivery.finish(now)
