"""RSGI entry point, which Granian loads as `dashboard.rsgi:app`."""

import asyncio
import gc
from datetime import timedelta

from flask import Flask
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined] # its documented module

from dashboard.app import MAX_FORM_BYTES, create_app
from dashboard.settings import DashboardSettings
from runtime.http.wsgi import call, environ, exit_with_parent
from runtime.logs import configure

BODY_TIMEOUT = timedelta(seconds=20)
"""Time limit for receiving a form."""


class RsgiApp:
    """Serves a Flask app; each request runs in a thread, since it blocks on the stores.

    Args:
        app: the app.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the process before the server listens."""
        exit_with_parent(loop)

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
        protocol.response_bytes(*await asyncio.to_thread(call, self._app.wsgi_app, environ(scope, body)))


async def _read(protocol: HTTPProtocol) -> bytes:
    """Read a form; stop once it is too large."""
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            break
    return bytes(body)


def __getattr__(name: str) -> RsgiApp:
    """Open the app on first access, so that importing this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    configure()
    return RsgiApp(open_app())


def open_app() -> Flask:
    """Open the app, and exempt all objects created so far from garbage collection: scanning them takes 0.1 s."""
    app = create_app(DashboardSettings.load())
    gc.freeze()
    return app
