"""The app factory: Flask behind the gate and the reception."""

from datetime import timedelta
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, InternalServerError

from receiver import health, routes
from receiver.async_front import AsyncFront
from receiver.auth import WebhookAuth
from receiver.breakage import log_unhandled_exception
from receiver.health import Readiness
from receiver.ingest import Ingest
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, rejection, response
from receiver.settings import ReceiverSettings
from receiver.webhook import WebhookView
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.signed_address import AddressSigner

STATEMENT_TIMEOUT = timedelta(seconds=2)
CONNECTIONS = 5
"""To the database: one stores the group that goes now, the others are for `/readyz`."""


class Receiver(Flask):
    """A Flask app that keeps the secret address out of the log when something breaks."""

    def log_exception(self, exc_info: Any) -> None:
        """Logs it our way; Flask's own line would hold the path."""
        log_unhandled_exception(exc_info[1])


def create_app(settings: ReceiverSettings) -> Flask:
    """A receiver for one account."""
    app = Receiver(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # no redirects: the gate and the door must mean the same paths
    database = Database(settings.database_url, CONNECTIONS, STATEMENT_TIMEOUT, pre_ping=False)
    door = app.extensions["door"] = Ingest(database, JobQueue(settings.redis()), settings.vault())
    app.extensions["readiness"] = Readiness(database.probe_write, door.bell.redis.ping)
    app.register_blueprint(routes.blueprint)
    app.register_blueprint(health.blueprint)
    app.register_error_handler(HTTPException, _refuse)
    reception = app.extensions["reception"] = WebhookView(app.wsgi_app, door)
    app.wsgi_app = app.extensions["gate"] = WebhookAuth(  # type: ignore[method-assign] # Flask's way to add middleware
        reception,
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


def async_front(app: Flask, threads: int) -> AsyncFront:
    """What serves this app: the same parts behind an event loop.

    Args:
        app: what `create_app` made.
        threads: that wait for the stores.
    """
    parts = app.extensions
    counting = {"count": parts["count"]} if "count" in parts else {}
    return AsyncFront(
        app.wsgi_app,
        parts["gate"],
        parts["reception"],
        parts["readiness"],
        threads,
        close=parts["door"].close,
        **counting,
    )


def _refuse(error: HTTPException) -> Response:
    allowed = getattr(error, "valid_methods", None)
    reason = INTERNAL_ERROR if isinstance(error, InternalServerError) else (error.name or "refused").lower()
    headers = dict(CLOSE_CONNECTION)
    if allowed:
        headers["Allow"] = ", ".join(sorted(allowed))
    return response(rejection(error.code or 500, reason, headers))
