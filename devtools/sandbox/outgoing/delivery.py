"""Outgoing deliveries, in queues that keep the order of each booking unless a fault reorders them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event, Thread
from typing import Literal

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from devtools.sandbox.faults.plan import DeliveryFault

Outcome = Literal["waiting", "dropped", "answered", "failed"]

CLOSE_TIMEOUT_SECONDS = 2.0
"""Seconds to wait for the current delivery when a queue closes."""

HEADERS = {"content-type": "application/json", "user-agent": "meetergo-sandbox"}


@dataclass
class OutgoingDelivery:
    """One webhook to one endpoint.

    Attributes:
        number: 1, 2, 3 ... in the order of what happened.
        subject: id of the booking or user that it is about.
        company: number of the company that sends it.
        at: time of the event.
        status: status of the last response.
        attempts: number of times it was sent; a repeated one at least twice.
        milliseconds: time until the last response.
        error: why there was no response.
    """

    number: int
    event: str
    subject: str
    company: int
    webhook_id: int
    endpoint: str = field(repr=False)
    body: bytes = field(repr=False)
    fault: DeliveryFault
    at: str
    outcome: Outcome = "waiting"
    status: int | None = None
    attempts: int = 0
    milliseconds: float | None = None
    error: str | None = None


class WebhookSender:
    """Sends deliveries.

    Args:
        timeout: seconds (meetergo documents 30).
        retries: how often a delivery without a 2xx is sent again at once; none is documented.
        connections: number of connections that are kept open.
    """

    def __init__(self, timeout: float, retries: int, connections: int) -> None:
        self._retries = retries
        self._pool = PoolManager(maxsize=connections, timeout=Timeout(connect=timeout, read=timeout), retries=False)

    def send(self, delivery: OutgoingDelivery) -> None:
        """Send as many copies as its fault demands, each until it is accepted or its retries are used up."""
        for _ in range(delivery.fault.copies):
            for _ in range(1 + self._retries):
                self._send_once(delivery)
                if delivery.status and delivery.status < 300:
                    break

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _send_once(self, delivery: OutgoingDelivery) -> None:
        start = time.perf_counter()
        delivery.attempts += 1
        try:
            response = self._pool.request(
                "POST", delivery.endpoint, body=delivery.body, headers=HEADERS, redirect=False
            )
        except HTTPError as error:
            delivery.status, delivery.error = None, type(error).__name__
        else:
            delivery.status, delivery.error = response.status, None
        delivery.milliseconds = round((time.perf_counter() - start) * 1000, 1)
        delivery.outcome = "failed" if delivery.error else "answered"


class OrderedQueue(Thread):
    """A queue that sends one delivery after the other.

    Args:
        send: sends a delivery.
        idle_seconds: returns the idle seconds after which held-back deliveries are sent; 0 for never.
    """

    def __init__(self, send: Callable[[OutgoingDelivery], None], idle_seconds: Callable[[], float]) -> None:
        super().__init__(name="sandbox-queue", daemon=True)
        self._send = send
        self._idle_seconds = idle_seconds
        self._work: Queue[OutgoingDelivery | Event | None] = Queue()
        self._held: list[OutgoingDelivery] = []
        self._stopping = Event()

    def put(self, delivery: OutgoingDelivery) -> None:
        """Append a delivery."""
        self._work.put(delivery)

    def flush(self) -> Event:
        """Send held-back deliveries after all others; the returned event is set when that is done."""
        done = Event()
        self._work.put(done)
        return done

    def stop(self) -> None:
        """Stop after the current delivery; do not wait for an endpoint that does not respond."""
        self._stopping.set()
        self._work.put(None)
        self.join(CLOSE_TIMEOUT_SECONDS)

    def run(self) -> None:
        """Send until stopped."""
        while True:
            try:
                item = self._work.get(timeout=(self._held and self._idle_seconds()) or None)
            except Empty:
                self._release(self._held)
                continue
            if item is None or self._stopping.is_set():
                return
            if isinstance(item, Event):
                self._release(self._held)
                item.set()
            else:
                self._hold_or_deliver(item)

    def _hold_or_deliver(self, delivery: OutgoingDelivery) -> None:
        if delivery.fault.is_dropped:
            delivery.outcome = "dropped"
        elif delivery.fault.is_held:
            self._held.append(delivery)
        else:
            self._deliver(delivery)
            same = (delivery.subject, delivery.webhook_id)  # subjects are unique among companies
            self._release([held for held in self._held if (held.subject, held.webhook_id) == same])

    def _release(self, deliveries: list[OutgoingDelivery]) -> None:
        for delivery in list(deliveries):
            self._held.remove(delivery)
            self._deliver(delivery)

    def _deliver(self, delivery: OutgoingDelivery) -> None:
        if not self._stopping.wait(delivery.fault.delay):
            self._send(delivery)
