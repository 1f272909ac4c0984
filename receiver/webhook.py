"""The webhook view: WSGI middleware that ingests an authenticated request and acknowledges it.

Deliveries bypass Flask's routing, which would make them at least a third more expensive (docs/performance.md).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from redis.exceptions import RedisError

from receiver.auth import AUTHENTICATED_REQUEST, AuthenticatedRequest
from receiver.ingest import Ingest
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, RawResponse, accepted, rejection, send
from receiver.thread_pool import ThreadPool
from runtime.logs import log_unhandled_exception

RETRY_AFTER = timedelta(seconds=30)

log = structlog.get_logger()


class WebhookView:
    """Middleware between the authentication and the Flask app.

    Args:
        app: the WSGI application that handles every other request.
        ingest: persists deliveries.
    """

    def __init__(self, app: WSGIApplication, ingest: Ingest) -> None:
        self._app = app
        self._ingest = ingest

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Ingest a delivery, or pass any other request on."""
        request = environ.get(AUTHENTICATED_REQUEST)
        if request is None:
            return self._app(environ, start_response)
        return send(self._receive(request), start_response)

    async def receive(self, request: AuthenticatedRequest, threads: ThreadPool) -> RawResponse:
        """Ingest a delivery from an event loop. Threads wait for the stores."""
        try:
            return _acknowledged(await self._ingest.accept_async(threads, request, datetime.now(UTC)))
        except Exception as error:
            return _failed(error)

    def _receive(self, request: AuthenticatedRequest) -> RawResponse:
        try:
            return _acknowledged(self._ingest.accept(request, datetime.now(UTC)))
        except Exception as error:
            return _failed(error)


def _acknowledged(delivery_id: str) -> RawResponse:
    """Return exactly 200: the provider documents no other success status."""
    log.info("delivery.accepted", delivery_id=delivery_id)
    return accepted(delivery_id)


def _failed(error: Exception) -> RawResponse:
    if isinstance(error, RedisError):
        retry = {"Retry-After": str(int(RETRY_AFTER.total_seconds()))}
        return rejection(503, "nothing can keep this now, come back later", retry)
    log_unhandled_exception(error)
    return rejection(500, INTERNAL_ERROR, CLOSE_CONNECTION)
