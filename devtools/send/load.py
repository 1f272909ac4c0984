"""Load generator: many deliveries over persistent connections, and the responses."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from urllib3.exceptions import HTTPError

from devtools.send.client import SendResponse
from operations.replay.throttle import Throttle
from runtime.process.stop_signal import StopEvent

PERCENTILES = (50, 95, 99)


@dataclass
class LoadResult:
    """The responses of a run.

    Attributes:
        statuses: HTTP status -> count.
        unanswered: number without a response.
        milliseconds: latency of each response.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    milliseconds: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Number of deliveries sent."""
        return self.statuses.total() + self.unanswered

    @property
    def is_good(self) -> bool:
        """Whether all deliveries were accepted."""
        return self.statuses.total() == self.statuses[200] == self.sent

    def latencies(self) -> dict[str, float]:
        """Latency percentiles (p50 and so on) in milliseconds; empty without responses."""
        if not self.milliseconds:
            return {}
        ranked = sorted(self.milliseconds)
        return {**{f"p{percent}": percentile(ranked, percent) for percent in PERCENTILES}, "max": ranked[-1]}


def percentile(ranked: Sequence[float], percent: int) -> float:
    """Return the smallest value that N percent do not exceed, from a sorted, non-empty sequence."""
    return ranked[math.ceil(len(ranked) * percent / 100) - 1]


class LoadRun:
    """Sends deliveries from several threads.

    Args:
        send: delivers one body.
        throttle: limits the rate.
        stop: set when a stop is requested.
        advance: called after each delivery.
    """

    def __init__(
        self, send: Callable[[bytes], SendResponse], throttle: Throttle, stop: StopEvent, advance: Callable[[int], Any]
    ) -> None:
        self.result = LoadResult()
        self._send, self._throttle, self._stop, self._advance = send, throttle, stop, advance
        self._next, self._count = Lock(), Lock()

    def run(self, bodies: Iterable[bytes], threads: int) -> LoadResult:
        """Send all bodies, or those before a stop; deliveries in progress are completed."""
        remaining = iter(bodies)
        workers = [Thread(target=self._work, args=(remaining,), daemon=True) for _ in range(threads)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        return self.result

    def _work(self, remaining: Any) -> None:
        while True:
            with self._next:
                self._throttle.wait_for(1)
                body = None if self._stop.is_set() else next(remaining, None)
            if body is None:
                return
            self._deliver(body)
            self._advance(1)

    def _deliver(self, body: bytes) -> None:
        try:
            response = self._send(body)
        except HTTPError:
            with self._count:
                self.result.unanswered += 1
            return
        with self._count:
            self.result.statuses[response.status] += 1
            self.result.milliseconds.append(response.milliseconds)
