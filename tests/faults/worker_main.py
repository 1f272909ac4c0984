"""`python -m tests.faults.worker_main PLACE`: the worker, which dies at a place that no hook reaches."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.faults import self_kill
from worker import __main__ as worker
from worker import jobs
from worker.channels import Message
from worker.channels.webhook import WebhookChannel
from worker.inbox.processor import InboxProcessor
from worker.outbox.claimed import ClaimedNotifications

PLACES: dict[str, tuple[Any, str]] = {
    "committed": (InboxProcessor, "_report"),  # the bookings are committed, the outbox is not triggered
    "sent": (ClaimedNotifications, "_record"),  # the channel has the message, the row does not say so
    "storing-deferred": (jobs, "store_deferred"),  # a body that only Redis has is being stored
}


def dies_before(method: Callable[..., Any]) -> Callable[..., Any]:
    """Call the method, then die if armed."""

    @functools.wraps(method)
    def dangerous(*arguments: Any, **options: Any) -> Any:
        self_kill.die_if_armed()
        return method(*arguments, **options)

    return dangerous


def exits_on_some_notifications(channel: Any, message: Message) -> None:
    """A channel that ends its process for some notifications, each time, like a fault in an extension."""
    if message.booking["id"].startswith(self_kill.POISON_NOTIFICATION):
        os._exit(1)
    send(channel, message)


send = WebhookChannel.send

if __name__ == "__main__":
    place = sys.argv.pop(1)
    if place == "poison-notification":
        setattr(WebhookChannel, "send", exits_on_some_notifications)  # noqa: B010 - mypy allows no other way to replace a method
    else:
        owner, name = PLACES[place]
        setattr(owner, name, dies_before(getattr(owner, name)))
    worker.main()
