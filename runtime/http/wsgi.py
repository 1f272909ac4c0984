"""Servers by Granian, with WSGI apps behind its RSGI.

Not Granian's own WSGI, in which `X_Forwarded_User` looks like `X-Forwarded-User`: a client could send the former past
a proxy that removes only the latter.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from multiprocessing import parent_process
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.rsgi import Scope
from granian.server import Server

from runtime.process.preload import fork_with_imported

STOP_TIMEOUT = timedelta(seconds=6)
"""Time to finish open requests: a response takes 5 seconds at most, and Docker kills after 10."""
PARENT_CHECK_INTERVAL = timedelta(seconds=1)

RawResponse = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def serve(target: str, host: str, port: int) -> None:
    """Serve an RSGI app in one process of its own, until this one is stopped.

    Args:
        target: `module:attribute`.
        host: address to listen on.
        port: port to listen on.
    """
    fork_with_imported(target.partition(":")[0])
    Server(
        target,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_TIMEOUT.total_seconds()),
        log_level=LogLevels.error,
        log_access=False,  # an access log would hold login links and what people searched for
    ).serve()


def exit_with_parent(loop: asyncio.AbstractEventLoop) -> None:
    """Stop this process when its parent is gone, so that the port is free when the server is restarted."""
    parent = parent_process()
    if parent is None:
        return
    if os.getppid() == parent.pid:
        loop.call_later(PARENT_CHECK_INTERVAL.total_seconds(), exit_with_parent, loop)
        return
    loop.call_later(STOP_TIMEOUT.total_seconds(), os._exit, 1)  # no supervisor is left to kill it
    os.kill(os.getpid(), signal.SIGTERM)


def call(app: WSGIApplication, environment: WSGIEnvironment) -> RawResponse:
    """Return the app's response."""
    responses: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], None]:
        responses.append((int(status[:3]), headers))
        return lambda _: None

    parts = app(environment, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    return *responses[-1], body


def environ(scope: Scope, body: bytes = b"") -> WSGIEnvironment:
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
        "PATH_INFO": _wsgi_text(scope.path),
        "QUERY_STRING": _wsgi_text(scope.query_string),
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


def _wsgi_text(text: str) -> str:
    """Return text as WSGI has it: its bytes in UTF-8, each as one character."""
    return text.encode("utf-8", "replace").decode("latin-1")
