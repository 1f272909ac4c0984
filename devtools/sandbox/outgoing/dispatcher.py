"""The dispatcher: creates a delivery for each subscribed webhook and queues it."""

import time
from datetime import timedelta
from threading import Lock
from zlib import crc32

from devtools.sandbox.faults.injector import FaultInjector
from devtools.sandbox.outgoing.delivery import OrderedQueue, OutgoingDelivery, WebhookSender
from devtools.sandbox.outgoing.payloads import encode
from devtools.sandbox.state.company import Record, WebhookEvent
from devtools.sandbox.timestamps import Clock, utc_text

TIMEOUT = timedelta(seconds=30)
"""Time limit for a response (overview of webhooks)."""

QUEUE_COUNT = 4


class DrainTimeout(TimeoutError):
    """Deliveries are still pending: the endpoint does not respond, or the limit is too short."""


class Dispatcher:
    """Sends events to webhooks.

    Args:
        fault_injector: decides which deliveries fail.
        now: the clock.
        timeout: limit for each response.
        retries: how often a rejected delivery is sent again.
    """

    def __init__(
        self, fault_injector: FaultInjector, now: Clock, timeout: timedelta = TIMEOUT, retries: int = 0
    ) -> None:
        self.deliveries: list[OutgoingDelivery] = []
        self._fault_injector = fault_injector
        self._now = now
        self._lock = Lock()
        self._sender = WebhookSender(timeout.total_seconds(), retries, QUEUE_COUNT)
        self._queues = [
            OrderedQueue(self._sender.send, lambda: self._fault_injector.faults.hold) for _ in range(QUEUE_COUNT)
        ]
        for queue in self._queues:
            queue.start()

    def emit(self, event: WebhookEvent, webhooks: list[Record]) -> None:
        """Queue an event for each webhook. All of one booking use the same queue, so only faults reorder them."""
        queue = self._queues[crc32(event.subject.encode()) % QUEUE_COUNT]
        with self._lock:
            for webhook in webhooks:
                delivery = self._delivery(event, webhook)
                self.deliveries.append(delivery)
                queue.put(delivery)

    def drain(self, limit: timedelta) -> None:
        """Wait until everything was sent, including held-back deliveries.

        Raises:
            DrainTimeout: not within the limit.
        """
        deadline = time.monotonic() + limit.total_seconds()
        for done in [queue.flush() for queue in self._queues]:
            if not done.wait(max(0.0, deadline - time.monotonic())):
                raise DrainTimeout(f"deliveries are still pending after {limit.total_seconds():g} seconds")

    def close(self) -> None:
        """Stop; queued deliveries are not sent."""
        for queue in self._queues:
            queue.stop()
        self._sender.close()

    def _delivery(self, event: WebhookEvent, webhook: Record) -> OutgoingDelivery:
        key = (event.event, event.subject, str(event.change), str(webhook["id"]))
        fault = self._fault_injector.faults.delivery_fault(*key)
        return OutgoingDelivery(
            number=len(self.deliveries) + 1,
            event=event.event,
            subject=event.subject,
            company=event.company,
            webhook_id=webhook["id"],
            endpoint=webhook["endpoint"],
            body=encode(event.event, event.content, fault.wire),
            fault=fault,
            at=utc_text(self._now()),
        )
