"""Health: whether the process lives, and whether deliveries can be kept."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Lock

from flask import Blueprint, Response, current_app, request

from receiver.responses import json_response, response

READYZ = "/readyz"
STORES = "meetergo_inbox.stores"
OK, FAILING = "ok", "failing"
FRESH = timedelta(seconds=1)
"""So long an json_response of a store is repeated to whoever asks."""
PATIENCE = timedelta(milliseconds=700)
"""For a store's json_response; health checks are to be answered within a second."""

blueprint = Blueprint("health", __name__)


class Readiness:
    """Whether each store can keep a delivery.

    Args:
        database: raises if it cannot.
        redis: raises if it cannot.
    """

    def __init__(self, database: Callable[[], object], redis: Callable[[], object]) -> None:
        self._probes = {"database": Probe(database), "redis": Probe(redis)}

    def states(self) -> dict[str, str]:
        """Each store, `ok` or `failing`; a store that is silent is failing."""
        asked = [probe.ask() for probe in self._probes.values()]
        wait(asked, self._patience())
        return self._states(asked)

    async def settled(self) -> dict[str, str]:
        """The same, without a thread that waits."""
        asked = [probe.ask() for probe in self._probes.values()]
        await asyncio.wait(map(asyncio.wrap_future, asked), timeout=self._patience())
        return self._states(asked)

    def _patience(self) -> float:
        return max(probe.patience() for probe in self._probes.values())

    def _states(self, asked: "Sequence[Future[str]]") -> dict[str, str]:
        states = [each.result() if each.done() else FAILING for each in asked]
        return dict(zip(self._probes, states, strict=True))


class Probe:
    """Asks one store, one asker at a time; whoever else comes waits for the same json_response.

    Args:
        check: raises if the store cannot keep a delivery.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._thread = ThreadPoolExecutor(1, "probe")
        self._lock = Lock()
        self._asked: Future[str] | None = None
        self._asked_at = self._answered_at = 0.0

    def ask(self) -> "Future[str]":
        """The json_response that is awaited now, or was just given, or will be given to a new question."""
        with self._lock:
            now = time.monotonic()
            if self._asked is None or (self._asked.done() and now - self._answered_at > FRESH.total_seconds()):
                self._asked, self._asked_at = self._thread.submit(self._answer), now
            return self._asked

    def patience(self) -> float:
        """How long the last question may still take, in seconds."""
        return max(0.0, self._asked_at + PATIENCE.total_seconds() - time.monotonic())

    def _answer(self) -> str:
        try:
            self._check()
        except Exception:  # whatever it is, no delivery can be kept
            return FAILING
        finally:
            self._answered_at = time.monotonic()
        return OK


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process lives."""
    return response(json_response(200, {"status": "ok"}))


@blueprint.get(READYZ)
def readyz() -> Response:
    """Each store, ok or failing. Either one is enough to keep a delivery."""
    readiness: Readiness = current_app.extensions["readiness"]
    stores = request.environ.get(STORES) or readiness.states()
    can_keep = OK in stores.values()
    return response(json_response(200 if can_keep else 503, {"status": "ready" if can_keep else "not ready", **stores}))
