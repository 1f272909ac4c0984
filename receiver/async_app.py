"""The RSGI application: an event loop reads each body, with a deadline, so that a slow sender holds no thread.

Deliveries go to the webhook view, and `/readyz` is answered in the event loop, because it may have to wait. All other
requests go to Flask, in a thread pool of their own.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterable, Callable
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined] # it is their place

from receiver.auth import RejectedRequest, WebhookAuth, content_length, is_webhook_post
from receiver.health import READYZ, Readiness
from receiver.process import enable_keepalive, exit_with_parent
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, RawResponse, rejection
from receiver.thread_pool import ThreadPool
from receiver.webhook import WebhookView
from runtime.logs import log_unhandled_exception

BODY_TIMEOUT = timedelta(seconds=10)
"""Time limit for reading a whole body."""
OTHER_THREADS = 4
"""Threads for requests that are not deliveries. None of these requests waits for a store."""
UNREADABLE_VALUE = "\N{REPLACEMENT CHARACTER}"
"""Placeholder for a header value that is not ASCII: Granian hides it, but the header must not count as absent."""

CountResponse = Callable[[int, float], None]
"""Counts a response to a webhook: its status, and how long it took in seconds."""

BASE_ENVIRON: WSGIEnvironment = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class AsyncApp:
    """The receiver as an RSGI application.

    Args:
        app: the WSGI application that handles every other request.
        auth: authenticates deliveries, and decides whether a body is read.
        webhook_view: handles deliveries.
        readiness: probes the stores for `/readyz`.
        threads: number of threads that wait for the stores.
        count: counts responses to webhooks.
        close: called after the last response.
        body_timeout: time limit for reading a whole body.
    """

    def __init__(
        self,
        app: WSGIApplication,
        auth: WebhookAuth,
        webhook_view: WebhookView,
        readiness: Readiness,
        threads: int,
        *,
        count: CountResponse = lambda _status, _seconds: None,
        close: Callable[[], None] = lambda: None,
        body_timeout: timedelta = BODY_TIMEOUT,
    ) -> None:
        self._app, self._auth, self._webhook_view, self._readiness = app, auth, webhook_view, readiness
        self._count, self._close = count, close
        self._deliveries, self._others = ThreadPool("delivery", threads), ThreadPool("other", OTHER_THREADS)
        self._body_timeout = body_timeout.total_seconds()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the process before the server listens."""
        loop.call_soon(enable_keepalive)  # by the time the loop runs, the server listens
        exit_with_parent(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Close the thread pools and the stores after the last response."""
        self._others.close()
        self._deliveries.close()
        self._close()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Handle one request."""
        environ = _head_environ(scope)
        if is_webhook_post(environ):
            response = await self._deliver(environ, protocol)
        elif (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("GET", READYZ):
            response = await self._readiness.response_async()
        else:
            response = await self._call_flask(scope)
        protocol.response_bytes(*response)

    async def _deliver(self, environ: WSGIEnvironment, protocol: HTTPProtocol) -> RawResponse:
        status, started = 500, time.perf_counter()
        try:
            response = await self._receive(environ, protocol)
            status = response[0]
        except RejectedRequest as rejected:
            status = rejected.response[0]
            return rejected.response
        except Exception as error:
            log_unhandled_exception(error)
            return rejection(500, INTERNAL_ERROR, CLOSE_CONNECTION)
        finally:
            self._count(status, time.perf_counter() - started)
        return response

    async def _receive(self, environ: WSGIEnvironment, protocol: HTTPProtocol) -> RawResponse:
        fingerprint = self._auth.check_headers(environ)
        environ["wsgi.input"] = await self._read(content_length(environ), protocol)
        request = self._auth.authenticate(environ, fingerprint)
        return await self._webhook_view.receive(request, self._deliveries)

    async def _read(self, length: int | None, protocol: HTTPProtocol) -> "BytesIO | FailedBody":
        try:
            async with asyncio.timeout(self._body_timeout):
                if length is not None:
                    return BytesIO(await protocol())
                return BytesIO(await _read_chunks(protocol, self._auth.max_body))
        except TimeoutError:
            return FailedBody(TimeoutError)
        except ProtocolClosed:
            return FailedBody(ConnectionResetError)

    async def _call_flask(self, scope: Scope) -> RawResponse:
        return await self._others.run(run_wsgi, self._app, environ_of(scope))


class FailedBody:
    """A request body that could not be read.

    Args:
        error: the exception that `read` raises.
    """

    def __init__(self, error: type[OSError]) -> None:
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        """Raise the error."""
        raise self._error


async def _read_chunks(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """Read up to the first chunk that exceeds the limit, which is enough to see that the body is too large."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def run_wsgi(app: WSGIApplication, environ: WSGIEnvironment) -> RawResponse:
    """Call a WSGI application and return its response."""
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], None]:
        head[:] = int(status[:3]), headers
        return lambda _: None

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    return head[0], head[1], body


def _head_environ(scope: Scope) -> WSGIEnvironment:
    """Build the part of the WSGI environment (PEP 3333) that authentication reads."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
    }
    headers = scope.headers
    for name, value in headers.items():
        key = _variable(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    names = headers.keys()
    if len(environ) - 2 < len(names):
        for name in names:
            environ.setdefault(_variable(name), UNREADABLE_VALUE)
    if "HTTP_TRANSFER_ENCODING" in environ:  # chunked: the end is known, and Content-Length does not count
        environ["wsgi.input_terminated"] = True
        environ.pop("CONTENT_LENGTH", None)
    return environ


def environ_of(scope: Scope) -> WSGIEnvironment:
    """Build the WSGI environment for Flask, without a body: no route of Flask reads one."""
    server, _, port = scope.server.rpartition(":")
    return _head_environ(scope) | {
        **BASE_ENVIRON,
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
    }


@lru_cache(256)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
