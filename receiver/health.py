"""Health checks: whether the process is alive (`/healthz`) and can store deliveries (`/readyz`)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Lock

from flask import Blueprint, Response, current_app

from receiver.responses import RawResponse, json_response, to_flask_response

READYZ = "/readyz"
OK, FAILING = "ok", "failing"
CACHE_TTL = timedelta(seconds=1)
"""How long the result of a probe is reused."""
PROBE_TIMEOUT = timedelta(milliseconds=500)
"""Time limit of one probe: a health check has to be answered within a second."""

blueprint = Blueprint("health", __name__)


class Readiness:
    """Probes whether each store can keep a delivery.

    Args:
        database: check that raises if the database cannot.
        redis: check that raises if Redis cannot.
    """

    def __init__(self, database: Callable[[], object], redis: Callable[[], object]) -> None:
        self._probes = {"database": Probe(database), "redis": Probe(redis)}

    def states(self) -> dict[str, str]:
        """Return `ok` or `failing` for each store. A store that does not answer in time is failing."""
        futures = [probe.current() for probe in self._probes.values()]
        wait(futures, self._time_left())
        return self._states(futures)

    def response(self) -> RawResponse:
        """Build the response of `/readyz`."""
        return _readiness_response(self.states())

    async def response_async(self) -> RawResponse:
        """Like `response`, without a thread: many callers may wait for one probe, and all are answered when it ends."""
        futures = [probe.current() for probe in self._probes.values()]
        await asyncio.wait(map(asyncio.wrap_future, futures), timeout=self._time_left())
        return _readiness_response(self._states(futures))

    def _time_left(self) -> float:
        return max(probe.time_left() for probe in self._probes.values())

    def _states(self, futures: "Sequence[Future[str]]") -> dict[str, str]:
        states = [future.result() if future.done() else FAILING for future in futures]
        return dict(zip(self._probes, states, strict=True))


class Probe:
    """Probes one store, one probe at a time. Concurrent callers share its result.

    Args:
        check: raises if the store cannot keep a delivery.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._thread = ThreadPoolExecutor(1, "probe")
        self._lock = Lock()
        self._future: Future[str] | None = None
        self._started_at = self._finished_at = 0.0

    def current(self) -> "Future[str]":
        """Return the running probe, or one that has just ended, or start a new one."""
        with self._lock:
            now = time.monotonic()
            if self._future is None or (self._future.done() and now - self._finished_at > CACHE_TTL.total_seconds()):
                self._future, self._started_at = self._thread.submit(self._run_check), now
            return self._future

    def time_left(self) -> float:
        """Return how long the current probe may still take, in seconds."""
        return max(0.0, self._started_at + PROBE_TIMEOUT.total_seconds() - time.monotonic())

    def _run_check(self) -> str:
        try:
            self._check()
        except Exception:  # whatever the reason, the store cannot keep a delivery
            return FAILING
        finally:
            self._finished_at = time.monotonic()
        return OK


@blueprint.get("/healthz")
def healthz() -> Response:
    """Liveness: the process is alive."""
    return to_flask_response(json_response(200, {"status": "ok"}))


@blueprint.get(READYZ)
def readyz() -> Response:
    """Readiness: the state of each store."""
    readiness: Readiness = current_app.extensions["readiness"]
    return to_flask_response(readiness.response())


def _readiness_response(stores: dict[str, str]) -> RawResponse:
    """Build a 200 or a 503. Either store is enough to keep a delivery."""
    is_ready = OK in stores.values()
    return json_response(200 if is_ready else 503, {"status": "ready" if is_ready else "not ready", **stores})
