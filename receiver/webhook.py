"""The reception: WSGI middleware that takes to the door what the gate admitted, and acknowledges it.

Deliveries do not pass Flask's routing, which would add a third and more to their cost (docs/performance.md).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from redis.exceptions import RedisError

from receiver.auth import ADMITTED, Admitted
from receiver.breakage import log_breakage
from receiver.ingest import Door
from receiver.responses import HANG_UP, INTERNAL_ERROR, Answer, accepted, refusal, send
from receiver.threads import Threads

COME_BACK_AFTER = timedelta(seconds=30)

log = structlog.get_logger()


class Reception:
    """Stands between the gate and the Flask app.

    Args:
        app: what everything else is for.
        door: keeps deliveries.
    """

    def __init__(self, app: WSGIApplication, door: Door) -> None:
        self._app = app
        self._door = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a delivery; passes on what is none."""
        admitted = environ.get(ADMITTED)
        if admitted is None:
            return self._app(environ, start_response)
        return send(self._receive(admitted), start_response)

    async def receive(self, admitted: Admitted, threads: Threads) -> Answer:
        """Answers a delivery from an event loop; what has to wait for a store does so in a thread."""
        try:
            return _acknowledged(await self._door.accept_in(threads, admitted, datetime.now(UTC)))
        except Exception as error:
            return _failed(error)

    def _receive(self, admitted: Admitted) -> Answer:
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
        retry = {"Retry-After": str(int(COME_BACK_AFTER.total_seconds()))}
        return refusal(503, "nothing can keep this now, come back later", retry)
    log_breakage(error)
    return refusal(500, INTERNAL_ERROR, HANG_UP)
