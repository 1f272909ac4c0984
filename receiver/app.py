"""The app factory: Flask behind the authentication and the webhook view."""

from datetime import timedelta
from typing import Any

from flask import Flask, Response, abort
from werkzeug.exceptions import HTTPException, InternalServerError

from receiver import health
from receiver.async_app import AsyncApp
from receiver.auth import WebhookAuth
from receiver.health import Readiness
from receiver.ingest import Ingest
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, rejection, to_flask_response
from receiver.settings import ReceiverSettings
from receiver.webhook import WebhookView
from runtime.database import Database
from runtime.logs import log_unhandled_exception
from runtime.queue import JobQueue
from runtime.signed_address import WEBHOOK_PATH, AddressSigner

STATEMENT_TIMEOUT = timedelta(seconds=2)
POOL_SIZE = 5
"""Database connections: one commits the current batch, the others serve `/readyz`."""


class Receiver(Flask):
    """A Flask app that keeps the secret address out of logged exceptions."""

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception without the request path, which Flask's own log line contains."""
        log_unhandled_exception(exc_info[1])


def create_app(settings: ReceiverSettings) -> Flask:
    """Build the receiver of one account."""
    app = Receiver(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # no redirects: the middleware and Flask must agree on paths
    database = Database(settings.database_url, POOL_SIZE, STATEMENT_TIMEOUT, pre_ping=False)
    ingest = app.extensions["ingest"] = Ingest(database, JobQueue(settings.redis()), settings.cipher())
    app.extensions["readiness"] = Readiness(database.probe_write, ingest.job_queue.redis.ping)
    for path in (WEBHOOK_PATH, f"{WEBHOOK_PATH}/<token>"):
        app.post(path, endpoint=path, provide_automatic_options=False)(_not_found)
    app.register_blueprint(health.blueprint)
    app.register_error_handler(HTTPException, _reject)
    webhook_view = app.extensions["webhook_view"] = WebhookView(app.wsgi_app, ingest)
    app.wsgi_app = app.extensions["auth"] = WebhookAuth(  # type: ignore[method-assign] # Flask's way to add middleware
        webhook_view,
        AddressSigner(settings.webhook_keys),
        settings.webhook_account,
        settings.verifier(),
        settings.webhook_max_body,
        settings.webhook_address_optional,
    )
    if settings.metrics_port:
        from receiver.metrics import MetricsMiddleware, count  # late: see runtime/metrics_server.py

        app.extensions["count"] = count
        app.wsgi_app = MetricsMiddleware(app.wsgi_app)  # type: ignore[method-assign] # as above
    return app


def create_async_app(app: Flask, threads: int) -> AsyncApp:
    """Wrap a receiver in the event loop that serves it.

    Args:
        app: the result of `create_app`.
        threads: number of threads that wait for the stores.
    """
    parts = app.extensions
    options = {"count": parts["count"]} if "count" in parts else {}
    return AsyncApp(
        app.wsgi_app,
        parts["auth"],
        parts["webhook_view"],
        parts["readiness"],
        threads,
        close=parts["ingest"].close,
        **options,
    )


def _not_found(token: str = "") -> Response:
    """Return 404 where the middleware sees no webhook (a second leading slash). Other methods get 405."""
    abort(404)


def _reject(error: HTTPException) -> Response:
    allowed = getattr(error, "valid_methods", None)
    reason = INTERNAL_ERROR if isinstance(error, InternalServerError) else (error.name or "refused").lower()
    headers = dict(CLOSE_CONNECTION)
    if allowed:
        headers["Allow"] = ", ".join(sorted(allowed))
    return to_flask_response(rejection(error.code or 500, reason, headers))
