"""Handling: a delivery's event meets its handler, and the delivery comes to its end."""

from collections.abc import Iterator

from meetergo.events import Event
from models.booking import BookingChange
from models.delivery import Delivery
from worker.handlers import HANDLERS
from worker.ledger import Ledger


def handle(ledger: Ledger, delivery: Delivery, event: Event) -> Iterator[BookingChange]:
    """Finishes a delivery, in memory; yields the changes that it caused, each while its booking is as it made it."""
    handler = HANDLERS.get(event.type)
    if handler is None:
        delivery.note = "nobody handles this event"
    else:
        for change in handler(ledger, event):
            change.delivery_id = delivery.id
            yield change
    delivery.finish(ledger.now)
