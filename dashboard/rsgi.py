"""RSGI entry point, which Granian loads as `dashboard.rsgi:app`.

Not WSGI, in which `X_Forwarded_User` looks like `X-Forwarded-User`: a client could send the former past a proxy that
removes only the latter, and be whoever it likes.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Flask
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined] # it is their place

from dashboard.app import MAX_FORM_BYTES, create_app
from dashboard.settings import DashboardSettings
from receiver.process import watch_parent
from runtime.logs import configure

BODY_TIMEOUT = timedelta(seconds=20)
"""Time limit for a form."""

RawResponse = tuple[int, list[tuple[str, str]], bytes]


class RsgiApp:
    """Serves a Flask app; each request runs in a thread, since it waits for the stores.

    Args:
        app: the app.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Serve one request."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT.total_seconds()):
                body = await _read(protocol) if scope.method == "POST" else b""
        except (TimeoutError, ProtocolClosed):
            protocol.response_empty(408, [("connection", "close")])
            return
        if len(body) > MAX_FORM_BYTES:
            protocol.response_empty(413, [("connection", "close")])
            return
        protocol.response_bytes(*await asyncio.to_thread(call, self._app, environ(scope, body)))


async def _read(protocol: HTTPProtocol) -> bytes:
    """Read a form; of one that is too large, a little more than the limit."""
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            break
    return bytes(body)


def call(app: Flask, environment: WSGIEnvironment) -> RawResponse:
    """Return the app's response."""
    responses: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], None]:
        responses.append((int(status[:3]), headers))
        return lambda _: None

    parts = app.wsgi_app(environment, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    return *responses[-1], body


def environ(scope: Scope, body: bytes) -> WSGIEnvironment:
    """Build the WSGI environment, without headers whose name holds an underscore."""
    headers: dict[str, str] = {}
    for name, value in scope.headers.items():
        if "_" not in name:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            headers[key] = f"{headers[key]},{value}" if key in headers else value
    server, _, port = scope.server.rpartition(":")
    return {
        **headers,
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "CONTENT_TYPE": headers.get("HTTP_CONTENT_TYPE", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
    }


def __getattr__(name: str) -> RsgiApp:
    """Open the app when Granian asks for it, so that importing this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    configure()
    watch_parent()
    return RsgiApp(open_app())


def open_app() -> Flask:
    """Open the app. What is there by then lives as long as the process: a look for garbage in it takes 0.1 s."""
    app = create_app(DashboardSettings.load())
    gc.freeze()
    return app
