"""The courier: makes a delivery for each webhook that wants to know, and puts it into a line."""

import time
from datetime import timedelta
from threading import Lock
from zlib import crc32

from devtools.sandbox.faults.injector import FaultInjector
from devtools.sandbox.outgoing.delivery import Delivery, OrderedQueue, Sender
from devtools.sandbox.outgoing.payloads import enveloped
from devtools.sandbox.state.company import Record, WebhookEvent
from devtools.sandbox.timestamps import Clock, utc_text

TIMEOUT = timedelta(seconds=30)
"""For the answer (overview of webhooks)."""

LINES = 4


class NotSettled(TimeoutError):
    """Deliveries are still on their way; the endpoint does not answer, or the limit is too short."""


class Dispatcher:
    """Sends what happened.

    Args:
        mischief: what goes wrong.
        now: the clock.
        timeout: for each answer.
        retries: how often a delivery that was not taken is sent again.
    """

    def __init__(self, mischief: FaultInjector, now: Clock, timeout: timedelta = TIMEOUT, retries: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self._mischief = mischief
        self._now = now
        self._lock = Lock()
        self._post = Sender(timeout.total_seconds(), retries, LINES)
        self._lines = [OrderedQueue(self._post.send, lambda: self._mischief.trouble.hold) for _ in range(LINES)]
        for line in self._lines:
            line.start()

    def announce(self, happening: WebhookEvent, webhooks: list[Record]) -> None:
        """Queues it for each webhook. All of one booking take the same line, so only trouble reorders them."""
        line = self._lines[crc32(happening.subject.encode()) % LINES]
        with self._lock:
            for webhook in webhooks:
                delivery = self._delivery(happening, webhook)
                self.deliveries.append(delivery)
                line.put(delivery)

    def settle(self, limit: timedelta) -> None:
        """Waits until everything was sent, also what trouble held back.

        Raises:
            NotSettled: not within the limit.
        """
        end = time.monotonic() + limit.total_seconds()
        for done in [line.settled() for line in self._lines]:
            if not done.wait(max(0.0, end - time.monotonic())):
                raise NotSettled(f"deliveries are still on their way after {limit.total_seconds():g} seconds")

    def close(self) -> None:
        """Ends; what is queued is not sent any more."""
        for line in self._lines:
            line.end()
        self._post.close()

    def _delivery(self, happening: WebhookEvent, webhook: Record) -> Delivery:
        key = (happening.event, happening.subject, str(happening.change), str(webhook["id"]))
        fate = self._mischief.trouble.fate(*key)
        return Delivery(
            number=len(self.deliveries) + 1,
            event=happening.event,
            subject=happening.subject,
            webhook_id=webhook["id"],
            endpoint=webhook["endpoint"],
            body=enveloped(happening.event, happening.content, fate.wire),
            fate=fate,
            at=utc_text(self._now()),
        )
