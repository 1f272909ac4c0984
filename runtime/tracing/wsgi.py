"""Spans of the requests to a Flask app, named by route: a path or a query may hold a secret or a person's name."""

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from runtime.tracing.spans import span

WsgiApp = Callable[[Any, Any], Iterable[bytes]]


class TracedWsgi:
    """WSGI middleware that makes a span of each request to a known route.

    Args:
        app: the app.
        routes: its URL map.
    """

    def __init__(self, app: WsgiApp, routes: Map) -> None:
        self._app, self._routes = app, routes

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        route = self._route(environ)
        if route is None:
            return self._app(environ, start_response)
        method = environ["REQUEST_METHOD"]
        attributes = {"http.request.method": method, "http.route": route}
        with span(f"{method} {route}", SpanKind.SERVER, attributes=attributes) as current:

            def start(status: str, *others: Any) -> Any:
                current.set_attribute("http.response.status_code", int(status[:3]))
                if status.startswith("5"):
                    current.set_status(Status(StatusCode.ERROR))
                return start_response(status, *others)

            return self._app(environ, start)

    def _route(self, environ: Any) -> str | None:
        try:
            rule, _ = self._routes.bind_to_environ(environ).match(return_rule=True)
        except HTTPException:
            return None
        return rule.rule
