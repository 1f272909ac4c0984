"""The load: post bodies at an even rate on a few persistent connections, and retry rejected ones."""

import time
from collections.abc import Sequence
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from queue import Empty, Queue
from threading import Thread

from tests.faults.sent_deliveries import NO_ANSWER, LoadResponse, SentDeliveries

SENDERS = 8
PATIENCE_SECONDS = 30
"""meetergo's timeout for a response."""
PAUSE = timedelta(seconds=1)
"""Delay before a body without a 200 is sent again."""
GIVES_UP_AFTER = timedelta(seconds=90)


class Load:
    """Posts each body until it is answered 200.

    Args:
        place: host and port of the receiver.
        path: the signed address.
        sent_deliveries: notes everything.
        senders: how many lines.
    """

    def __init__(self, place: str, path: str, sent_deliveries: SentDeliveries, senders: int = SENDERS) -> None:
        self.where = place, path
        self._sent_deliveries = sent_deliveries
        self._senders = senders
        self._waiting: Queue[tuple[float, bytes]] = Queue()
        self._threads: list[Thread] = []
        self._gives_up_at = 0.0

    def start(self, bodies: Sequence[bytes], lasts: timedelta) -> None:
        """Start; spread the bodies evenly over a time."""
        now = time.monotonic()
        self._gives_up_at = now + lasts.total_seconds() + GIVES_UP_AFTER.total_seconds()
        for number, body in enumerate(bodies):
            self._waiting.put((now + lasts.total_seconds() * number / len(bodies), body))
        self._threads = [Thread(target=self._send_all) for _ in range(self._senders)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until all were answered 200, or given up."""
        for thread in self._threads:
            thread.join()

    def post(self, body: bytes) -> None:
        """Post one body now, until it is answered 200."""
        self._waiting.put((time.monotonic(), body))
        self._gives_up_at = time.monotonic() + GIVES_UP_AFTER.total_seconds()
        self._send_all()

    def _send_all(self) -> None:
        line = HTTPConnection(self.where[0], timeout=PATIENCE_SECONDS)
        try:
            while time.monotonic() < self._gives_up_at:
                try:
                    when, body = self._waiting.get_nowait()
                except Empty:
                    return
                time.sleep(max(0.0, when - time.monotonic()))
                if not self._post(line, body):
                    line.close()
                    self._waiting.put((time.monotonic() + PAUSE.total_seconds(), body))
        finally:
            line.close()

    def _post(self, line: HTTPConnection, body: bytes) -> bool:
        delivery_id, started = self._sent_deliveries.record_sent(body), time.monotonic()
        try:
            line.request("POST", self.where[1], body, {"content-type": "application/json"})
            response = line.getresponse()
            said = response.read()
        except (OSError, HTTPException):
            self._sent_deliveries.record_answer(delivery_id, LoadResponse(NO_ANSWER, time.monotonic() - started), b"")
            return False
        answer = LoadResponse(response.status, time.monotonic() - started, bool(response.getheader("retry-after")))
        self._sent_deliveries.record_answer(delivery_id, answer, said)
        return response.status == 200
