"""WSGI apps behind Granian's RSGI.

Not Granian's own WSGI, in which `X_Forwarded_User` looks like `X-Forwarded-User`: a client could send the former past
a proxy that removes only the latter.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.rsgi import Scope
from granian.server import Server

from runtime.process.preload import fork_with_imported

RawHttpResponse = tuple[int, list[tuple[str, str]], bytes]


def serve(target: str, host: str, port: int, stop_seconds: int) -> None:
    """Serve an RSGI app in one process of its own, until this one is stopped.

    Args:
        target: `module:attribute`.
        host: address to listen on.
        port: port to listen on.
        stop_seconds: how long open requests may take when it is stopped.
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
        workers_kill_timeout=stop_seconds,
        log_level=LogLevels.error,
        log_access=False,  # an access log would hold login links and what people searched for
    ).serve()


def call(app: WSGIApplication, environment: WSGIEnvironment) -> RawHttpResponse:
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
