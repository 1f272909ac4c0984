"""A volley: many deliveries, over lines that stay open, and what was answered."""

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
    """What was answered.

    Attributes:
        statuses: HTTP status -> how many.
        unanswered: how many got no answer.
        milliseconds: how long each answer took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    milliseconds: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many went out."""
        return self.statuses.total() + self.unanswered

    @property
    def is_good(self) -> bool:
        """Whether all of them were taken."""
        return self.statuses.total() == self.statuses[200] == self.sent

    def latencies(self) -> dict[str, float]:
        """p50 and so on, in milliseconds; empty if nobody answered."""
        if not self.milliseconds:
            return {}
        ranked = sorted(self.milliseconds)
        return {**{f"p{percent}": percentile(ranked, percent) for percent in PERCENTILES}, "max": ranked[-1]}


def percentile(ranked: Sequence[float], percent: int) -> float:
    """The smallest that so many percent do not exceed, of at least one, sorted."""
    return ranked[math.ceil(len(ranked) * percent / 100) - 1]


class LoadRun:
    """Sends from several threads.

    Args:
        send: delivers one body.
        throttle: how fast.
        stop: whether somebody asked to end it.
        advance: hears of each that is done.
    """

    def __init__(
        self, send: Callable[[bytes], SendResponse], throttle: Throttle, stop: StopEvent, advance: Callable[[int], Any]
    ) -> None:
        self.result = LoadResult()
        self._send, self._throttle, self._stop, self._advance = send, throttle, stop, advance
        self._next, self._count = Lock(), Lock()

    def run(self, bodies: Iterable[bytes], threads: int) -> LoadResult:
        """Sends all, or until it is asked to stop: what is on its way then is waited for."""
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
