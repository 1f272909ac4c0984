"""WSGI: calls Flask from the event loop, for every request other than a webhook."""

import sys
from io import BytesIO
from wsgiref.types import WSGIEnvironment

from flask import Flask
from granian.rsgi import Scope

from receiver.auth import RequestHead
from receiver.responses import RawResponse
from runtime.process.wsgi import call

BASE_ENVIRON: WSGIEnvironment = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def call_flask(app: Flask, scope: Scope, head: RequestHead) -> RawResponse:
    """Return Flask's response.

    Args:
        app: it waits for nothing.
        scope: the request. Its body is not passed on: no route reads one.
        head: the head of this request.
    """
    return call(app.wsgi_app, _environ(scope, head))


def _environ(scope: Scope, head: RequestHead) -> WSGIEnvironment:
    server, _, port = scope.server.rpartition(":")
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in head.headers.items()}
    return {
        **BASE_ENVIRON,
        **headers,
        "REQUEST_METHOD": head.method,
        "PATH_INFO": head.path,
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(),
    }
