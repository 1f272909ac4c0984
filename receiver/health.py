"""Health checks: whether the process is alive (`/healthz`) and can store deliveries (`/readyz`)."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from flask import Blueprint, Response

from receiver.responses import json_response, to_flask_response
from runtime.http.wsgi import RawResponse

READYZ = "/readyz"
OK, FAILING = "ok", "failing"
CACHE_TTL = timedelta(seconds=1)
"""How long a response is reused."""
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
        self._shared: asyncio.Task[RawResponse] | None = None
        self._expires_at = 0.0

    async def response(self) -> RawResponse:
        """Return the response of `/readyz`. Concurrent callers share one, and it is reused for a second."""
        if self._shared is None or (self._shared.done() and time.monotonic() > self._expires_at):
            self._shared = asyncio.create_task(self._new_response())
        return await asyncio.shield(self._shared)

    async def _new_response(self) -> RawResponse:
        """Build a 200 or a 503: either store is enough to keep a delivery."""
        stores = await self._states()
        self._expires_at = time.monotonic() + CACHE_TTL.total_seconds()
        status, text = (200, "ready") if OK in stores.values() else (503, "not ready")
        return json_response(status, {"status": text, **stores})

    async def _states(self) -> dict[str, str]:
        """Return `ok` or `failing` for each store. A store that does not answer in time is failing."""
        futures = [probe.current() for probe in self._probes.values()]
        time_left = max(probe.time_left() for probe in self._probes.values())
        await asyncio.wait(map(asyncio.wrap_future, futures), timeout=time_left)
        states = [future.result() if future.done() else FAILING for future in futures]
        return dict(zip(self._probes, states, strict=True))


class Probe:
    """Probes one store, one probe at a time: none is started while another has not ended.

    Args:
        check: raises if the store cannot keep a delivery.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._thread = ThreadPoolExecutor(1, "probe")
        self._future: Future[str] | None = None
        self._started_at = 0.0

    def current(self) -> Future[str]:
        """Return the running probe, or start a new one."""
        if self._future is None or self._future.done():
            self._future, self._started_at = self._thread.submit(self._run_check), time.monotonic()
        return self._future

    def time_left(self) -> float:
        """Return how long the current probe may still take, in seconds."""
        return max(0.0, self._started_at + PROBE_TIMEOUT.total_seconds() - time.monotonic())

    def _run_check(self) -> str:
        for _attempt in range(2):  # a pooled connection may have been closed while idle
            try:
                self._check()
            except Exception as error:  # whatever the reason, the store cannot keep a delivery
                if not getattr(error, "connection_invalidated", False):
                    break
            else:
                return OK
        return FAILING


@blueprint.get("/healthz")
def healthz() -> Response:
    """Liveness: the process is alive."""
    return to_flask_response(json_response(200, {"status": "ok"}))
