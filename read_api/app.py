"""The app factory: the Flask app of the read API. Errors are problem documents (RFC 9457)."""

import json
from datetime import timedelta
from typing import Any

import structlog
from flask import Flask, Response, make_response
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from operations.store_errors import StoreError
from read_api.auth import OPEN_ENDPOINTS, protect
from read_api.calendar import calendar_blueprint
from read_api.settings import ReadApiSettings
from read_api.views import DATABASE, v1
from runtime.http.id_in_url import route_ids
from runtime.logs import log_unhandled_exception
from runtime.tracing import switch as tracing

STATEMENT_TIMEOUT = timedelta(seconds=10)
POOL_SIZE = 8
RETRY_AFTER_SECONDS = "5"
KEPT_HEADERS = frozenset({"allow", "retry-after", "www-authenticate"})

log = structlog.get_logger()


class ReadApiApp(Flask):
    """A Flask app that logs exceptions without the URL, which may identify a person's booking."""

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception without the request's path."""
        log_unhandled_exception(exc_info[1])


def create_app(settings: ReadApiSettings) -> Flask:
    """Build the app. Every route requires a token unless OPEN_ENDPOINTS names it."""
    app = ReadApiApp("read_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 0
    route_ids(app.url_map)
    app.extensions[DATABASE] = database = settings.database(POOL_SIZE, STATEMENT_TIMEOUT)
    protect(app, database)
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _http_error)
    for kind in StoreError:
        app.register_error_handler(kind, _store_error)
    app.register_error_handler(Exception, _unexpected_error)
    app.add_url_rule("/healthz", "healthz", _healthz)
    app.register_blueprint(v1)
    app.register_blueprint(calendar_blueprint(database, settings.webhook_keys))
    if tracing.start("api"):
        from runtime.tracing.wsgi import TracedWsgi  # late: imports OpenTelemetry

        app.wsgi_app = TracedWsgi(app.wsgi_app, app.url_map)  # type: ignore[method-assign] # as Flask documents it
    unknown = OPEN_ENDPOINTS - set(app.view_functions)
    if unknown:
        raise ValueError(f"OPEN_ENDPOINTS names routes that do not exist: {sorted(unknown)}")
    return app


def _healthz() -> Response:
    """Answer as long as the process serves; query no store."""
    return make_response("ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"})


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _problem(status: int, detail: str) -> Response:
    problem = {"type": "about:blank", "title": HTTP_STATUS_CODES.get(status, "Error"), "status": status}
    return make_response(
        json.dumps({**problem, "detail": detail}), status, {"Content-Type": "application/problem+json"}
    )


def _http_error(error: HTTPException) -> Response:
    response = _problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name.lower() in KEPT_HEADERS:
            response.headers[name] = value
    return response


def _store_error(error: Exception) -> Response:
    log.warning("api.store_unavailable", error=type(error).__name__)
    response = _problem(503, "the database does not answer")
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def _unexpected_error(error: Exception) -> Response:
    log_unhandled_exception(error)
    return _problem(500, "this is a fault of the service: see its log")
