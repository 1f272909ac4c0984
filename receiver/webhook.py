"""The reception: WSGI middleware that takes to the door what the gate admitted, and acknowledges it.

Deliveries do not pass Flask's routing, which would add a third and more to their cost (docs/performance.md).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from redis.exceptions import RedisError

from receiver.auth import AUTHENTICATED_REQUEST, AuthenticatedRequest
from receiver.breakage import log_unhandled_exception
from receiver.ingest import Ingest
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, Answer, accepted, rejection, send
from receiver.threads import Threads

RETRY_AFTER = timedelta(seconds=30)

log = structlog.get_logger()


class WebhookView:
    """Stands between the gate and the Flask app.

    Args:
        app: what everything else is for.
        door: keeps deliveries.
    """

    def __init__(self, app: WSGIApplication, door: Ingest) -> None:
        self._app = app
        self._door = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a delivery; passes on what is none."""
        admitted = environ.get(AUTHENTICATED_REQUEST)
        if admitted is None:
            return self._app(environ, start_response)
        return send(self._receive(admitted), start_response)

    async def receive(self, admitted: AuthenticatedRequest, threads: Threads) -> Answer:
        """Answers a delivery from an event loop; what has to wait for a store does so in a thread."""
        try:
            return _acknowledged(await self._door.accept_in(threads, admitted, datetime.now(UTC)))
        except Exception as error:
            return _failed(error)

    def _receive(self, admitted: AuthenticatedRequest) -> Answer:
        try:
            return _acknowledged(self._door.accept(admitted, datetime.now(UTC)))
        except Exception as error:
            return _failed(error)


def _acknowledged(delivery_id: str) -> Answer:
    """200, exactly: the provider documents no other success."""
    log.info("delivery.accepted", delivery_id=delivery_id)
    return accepted(delivery_id)


def _failed(error: Exception) -> Answer:
    if isinstance(error, RedisError):
        retry = {"Retry-After": str(int(RETRY_AFTER.total_seconds()))}
        return rejection(503, "nothing can keep this now, come back later", retry)
    log_unhandled_exception(error)
    return rejection(500, INTERNAL_ERROR, CLOSE_CONNECTION)
