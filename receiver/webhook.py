"""The receiver as an RSGI application: it reads, authenticates, ingests and acknowledges webhooks.

An event loop reads each body, with a deadline, so that a slow sender holds no thread. Webhooks bypass Flask's routing,
which would make them at least a third more expensive (docs/performance.md), and so does `/readyz`, because it waits for
the stores. All other requests go to Flask.
"""

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from flask import Flask
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined] # its documented module
from redis.exceptions import RedisError

from models.account import DEFAULT
from receiver.auth import RejectedRequest, RequestHead, WebhookAuth
from receiver.health import READYZ, Readiness
from receiver.ingest import Ingest, in_thread_if_large
from receiver.process import enable_keepalive
from receiver.responses import CLOSE_CONNECTION, COMMON_HEADERS, INTERNAL_ERROR, rejection
from runtime.http.wsgi import RawResponse, call, environ, exit_with_parent
from runtime.logs import log_unhandled_exception

BODY_TIMEOUT = timedelta(seconds=10)
"""Time limit for reading a whole body."""
RETRY_AFTER = timedelta(seconds=30)
UNREADABLE_VALUE = "\N{REPLACEMENT CHARACTER}"
"""Placeholder for a header value that is not ASCII: Granian hides it, but the header must not count as absent."""

CountResponse = Callable[[int, float], None]
"""Counts a response to a webhook: its status, and how long it took in seconds."""


class ReceiverApp:
    """The receiver as an RSGI application.

    Args:
        auth: authenticates webhooks, and decides whether a body is read.
        ingest: persists deliveries.
        flask_app: handles all other requests, and waits for nothing.
        readiness: probes the stores for `/readyz`.
        count: counts responses to webhooks.
        body_timeout: time limit for reading a whole body.
    """

    def __init__(
        self,
        auth: WebhookAuth,
        ingest: Ingest,
        flask_app: Flask,
        readiness: Readiness,
        count: CountResponse = lambda _status, _seconds: None,
        body_timeout: timedelta = BODY_TIMEOUT,
    ) -> None:
        self.auth, self.ingest, self._flask_app, self._readiness = auth, ingest, flask_app, readiness
        self._count = count
        self._body_timeout = body_timeout.total_seconds()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the process before the server listens."""
        loop.call_soon(enable_keepalive)  # by the time the loop runs, the server listens
        exit_with_parent(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Close the stores after the last response."""
        self.ingest.close()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Handle one request."""
        head = _head(scope)
        if head.is_webhook:
            response = await self._respond(head, protocol)
        elif head.path == READYZ and head.method in ("GET", "HEAD"):
            response = await self._readiness.response()
        else:
            response = call(self._flask_app.wsgi_app, environ(scope))  # no route reads a body
        protocol.response_bytes(*response)

    async def _respond(self, head: RequestHead, protocol: HTTPProtocol) -> RawResponse:
        status, started = 500, time.perf_counter()
        try:
            response = await self._receive(head, protocol)
            status = response[0]
        except RejectedRequest as rejected:
            status = rejected.status
            return rejection(status, rejected.reason, CLOSE_CONNECTION)
        except RedisError:  # the database cannot keep it either
            status, retry_after = 503, str(int(RETRY_AFTER.total_seconds()))
            return rejection(status, "nothing can keep this now, come back later", {"Retry-After": retry_after})
        except Exception as error:
            log_unhandled_exception(error)
            return rejection(status, INTERNAL_ERROR, CLOSE_CONNECTION)
        finally:
            self._count(status, time.perf_counter() - started)
        return response

    async def _receive(self, head: RequestHead, protocol: HTTPProtocol) -> RawResponse:
        address = self.auth.check_head(head)
        if address.account != DEFAULT:
            await self.auth.check_account(address.account)
        body = await self._read(head.content_length, protocol)
        await in_thread_if_large(body, self.auth.check_body, head, body)
        delivery_id = await self.ingest.accept(address, body, datetime.now(UTC))
        return _acknowledgement(delivery_id)

    async def _read(self, length: int | None, protocol: HTTPProtocol) -> bytes:
        try:
            async with asyncio.timeout(self._body_timeout):
                if length is not None:
                    return await protocol()
                return await _read_chunks(protocol, self.auth.max_body)
        except TimeoutError:
            raise RejectedRequest(408, "body too slow") from None
        except ProtocolClosed:
            raise RejectedRequest(400, "body incomplete") from None


def _acknowledgement(delivery_id: str) -> RawResponse:
    """Return exactly 200: the provider documents no other success status."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    return 200, [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *COMMON_HEADERS], body


async def _read_chunks(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """Read up to the first chunk that exceeds the limit, which is enough to see that the body is too large."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _head(scope: Scope) -> RequestHead:
    names, headers = scope.headers.keys(), dict[str, str]()
    for name, value in scope.headers.items():
        key = _normalized(name)
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    if len(headers) < len(names):
        for name in names:
            headers.setdefault(_normalized(name), UNREADABLE_VALUE)
    return RequestHead(scope.method, scope.path.encode("utf-8", "replace").decode("latin-1"), headers)


@lru_cache(256)
def _normalized(header_name: str) -> str:
    return header_name.lower().replace("_", "-")
