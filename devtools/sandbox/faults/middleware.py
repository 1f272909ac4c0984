"""FaultMiddleware: counts API requests and injects faults."""

import socket
from collections.abc import Callable, Iterable
from datetime import timedelta
from io import BytesIO
from threading import Event
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from devtools.sandbox.faults.injector import FaultInjector, InjectedAnswer
from devtools.sandbox.faults.plan import FAILURES, WRITES
from devtools.sandbox.http.errors import ApiRejection
from devtools.sandbox.http.responses import error_response, too_many_requests
from devtools.sandbox.state.company import Company

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

API = ("/v4/", "/webhooks")
BAD_GATEWAY = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


class ConnectionDropped(ConnectionError):
    """The connection is dropped on purpose; raising this makes the server close it."""


class FaultMiddleware:
    """WSGI middleware in front of the app.

    Args:
        app: the app, which gives real responses.
        company: the app's first company, whose lock all share.
        fault_injector: decides which requests fail.
        stop: set when the sandbox stops, which ends hanging requests.
        save: stores the companies.
    """

    def __init__(
        self, app: Flask, company: Company, fault_injector: FaultInjector, stop: Event, save: Callable[[], None]
    ) -> None:
        self._app = app
        self._company = company
        self._fault_injector = fault_injector
        self._stop = stop
        self._save = save

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        if environ["PATH_INFO"].startswith(API):
            response = self._respond(environ, body)
        elif environ["REQUEST_METHOD"] in WRITES:
            response = self._real_response(environ)
        else:  # the page queries the platform, which may be slow
            response = Response.from_app(self._app, environ, buffered=True)
        return response(environ, start_response)

    def _respond(self, environ: "WSGIEnvironment", body: bytes) -> Response:
        route, path = self.route(environ), environ["PATH_INFO"]
        environ["sandbox.route"] = route
        fault = self._fault_injector.request_fault(route, path, environ.get("HTTP_X_MEETERGO_API_USER_ID", ""), body)
        if isinstance(fault, InjectedAnswer):
            return Response(fault.body, fault.status, fault.headers)
        return RESPONSES[fault](self, environ) if fault else self._real_response(environ)

    def route(self, environ: "WSGIEnvironment") -> str:
        """Return the route, such as `GET /v4/meeting-type/{id}`; for an unknown route the path."""
        try:
            rule, _ = self._app.url_map.bind_to_environ(environ).match(return_rule=True)
            path = rule.rule.replace("<", "{").replace(">", "}")
        except HTTPException:
            path = environ["PATH_INFO"]
        return f"{environ['REQUEST_METHOD']} {path}"

    def _real_response(self, environ: "WSGIEnvironment") -> Response:
        """Let the app answer, one request at a time, as if each were a transaction."""
        with self._company.lock:
            response = Response.from_app(self._app, environ, buffered=True)
            if environ["REQUEST_METHOD"] in WRITES:
                self._save()
        return response

    def _fail(self, environ: "WSGIEnvironment") -> Response:
        status = int(self._fault_injector.choice("failure", FAILURES, environ["sandbox.route"]))
        error = ApiRejection(status, "Internal server error" if status == 500 else "Service unavailable")
        if status in (502, 504):  # as a proxy in front would answer
            return Response(BAD_GATEWAY.format(error.body["error"]), status, mimetype="text/html")
        return error_response(error)

    def _time_out(self, environ: "WSGIEnvironment") -> Response:
        self._stop.wait(self._fault_injector.faults.hang)
        return self._drop_connection(environ)

    def _drop_connection(self, environ: "WSGIEnvironment") -> Response:
        connection: socket.socket = environ["werkzeug.socket"]
        connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionDropped("the connection was dropped on purpose")

    def _rate_limit(self, environ: "WSGIEnvironment") -> Response:
        form = self._fault_injector.choice(
            "retry-after", self._fault_injector.faults.retry_after, environ["sandbox.route"]
        )
        return too_many_requests(timedelta(seconds=1), form, self._company.now())

    def _commit_then_fail(self, environ: "WSGIEnvironment") -> Response:
        response = self._real_response(environ)
        return response if response.status_code >= 400 else error_response(ApiRejection(500, "Internal server error"))

    def _commit_then_drop_connection(self, environ: "WSGIEnvironment") -> Response:
        response = self._real_response(environ)
        return response if response.status_code >= 400 else self._drop_connection(environ)


RESPONSES: dict[str, Callable[[FaultMiddleware, "WSGIEnvironment"], Response]] = {
    "fail": FaultMiddleware._fail,
    "time_out": FaultMiddleware._time_out,
    "drop_connection": FaultMiddleware._drop_connection,
    "rate_limit": FaultMiddleware._rate_limit,
    "commit_then_fail": FaultMiddleware._commit_then_fail,
    "commit_then_drop": FaultMiddleware._commit_then_drop_connection,
}
