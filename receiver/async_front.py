"""The async front: reads each body in the event loop, with a deadline, and then runs the WSGI app in a thread."""

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope

from receiver.gate import Gate, is_webhook, stated_length
from receiver.health import READYZ, STORES, Readiness
from receiver.process import end_with_parent, keep_alive
from receiver.threads import Threads

BODY_DEADLINE = timedelta(seconds=10)
"""For a whole body, however its sender spreads it."""
OTHER_THREADS = 4
"""For all that is no delivery; nothing of it waits for a store."""


class AsyncFront:
    """An RSGI application around a WSGI one. A slow sender holds no thread, and those of deliveries hold up no other.

    Args:
        app: answers every request, deliveries with their whole body.
        gate: says of whom a body is read.
        readiness: what `/readyz` asks.
        close: what is to be done after the last answer.
        threads: for deliveries.
        deadline: for a body.
    """

    def __init__(
        self,
        app: WSGIApplication,
        gate: Gate,
        readiness: Readiness,
        close: Callable[[], None],
        threads: int,
        deadline: timedelta = BODY_DEADLINE,
    ) -> None:
        self._app, self._gate, self._readiness, self._close = app, gate, readiness, close
        self._deliveries, self._others = Threads("delivery", threads), Threads("other", OTHER_THREADS)
        self._deadline = deadline.total_seconds()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before the server listens."""
        loop.call_soon(keep_alive)  # the loop starts to run when it does
        end_with_parent(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """After the last answer."""
        self._others.close()
        self._deliveries.close()
        self._close()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """One request."""
        environ, threads = _environ(scope), self._others
        if is_webhook(environ) and self._gate.admits_body(environ):
            environ["wsgi.input"] = await self._read(stated_length(environ), protocol)
            threads = self._deliveries
        elif scope.path == READYZ:
            environ[STORES] = await self._readiness.settled()
        await threads.run(self._answer, environ, protocol)

    def _answer(self, environ: WSGIEnvironment, protocol: HTTPProtocol) -> None:
        protocol.response_bytes(*_run(self._app, environ))

    async def _read(self, stated: int | None, protocol: HTTPProtocol) -> "BytesIO | Broken":
        try:
            async with asyncio.timeout(self._deadline):
                if stated is not None:
                    return BytesIO(await protocol())
                return BytesIO(await _read_chunks(protocol, self._gate.max_body))
        except TimeoutError:
            return Broken(TimeoutError)
        except ProtocolClosed:
            return Broken(ConnectionResetError)


class Broken:
    """A body that did not come.

    Args:
        error: what whoever reads it meets.
    """

    def __init__(self, error: type[OSError]) -> None:
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        """Raises."""
        raise self._error


async def _read_chunks(protocol: HTTPProtocol, most: int) -> bytes:
    """A little more than the most at most: what is too large is known to be."""
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


Answer = tuple[int, list[tuple[str, str]], bytes]


def _run(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
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


def _environ(scope: Scope) -> WSGIEnvironment:
    """As PEP 3333 has it, with an empty body."""
    server, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = _variable(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if "HTTP_TRANSFER_ENCODING" in environ:  # then its end is known, and a length does not count
        environ["wsgi.input_terminated"] = True
        environ.pop("CONTENT_LENGTH", None)
    return environ


@lru_cache(256)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
