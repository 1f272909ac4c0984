"""The reception: WSGI middleware that takes to the door what the gate admitted, and acknowledges it.

Deliveries do not pass Flask's routing, which would add a third and more to their cost (docs/performance.md).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from redis.exceptions import RedisError

from receiver.answers import HANG_UP, INTERNAL_ERROR, accepted, refusal, send
from receiver.breakage import log_breakage
from receiver.door import Door
from receiver.gate import ADMITTED, Admitted

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
        return self._receive(admitted, start_response)

    def _receive(self, admitted: Admitted, start_response: StartResponse) -> Iterable[bytes]:
        """200, exactly: the provider documents no other success."""
        try:
            delivery_id = self._door.accept(admitted, datetime.now(UTC))
        except RedisError:
            retry = {"Retry-After": str(int(COME_BACK_AFTER.total_seconds()))}
            return send(refusal(503, "nothing can keep this now, come back later", retry), start_response)
        except Exception as error:
            log_breakage(error)
            return send(refusal(500, INTERNAL_ERROR, HANG_UP), start_response)
        log.info("delivery.accepted", delivery_id=delivery_id)
        return accepted(delivery_id, start_response)
