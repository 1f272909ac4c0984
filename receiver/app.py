"""The app factory: the receiver, and the Flask app for all other requests."""

from datetime import timedelta
from functools import partial
from typing import Any

from flask import Flask, Response, abort
from werkzeug.exceptions import HTTPException, InternalServerError

from models.account import DEFAULT, AccountConfig
from models.account_cache import Accounts
from receiver import health
from receiver.auth import WebhookAuth
from receiver.health import READYZ, Readiness
from receiver.ingest import Ingest
from receiver.responses import CLOSE_CONNECTION, INTERNAL_ERROR, rejection, to_flask_response
from receiver.settings import ReceiverSettings
from receiver.webhook import ReceiverApp
from runtime.logs import log_unhandled_exception
from runtime.queue import JobQueue
from runtime.signed_address import WEBHOOK_PATH, AddressSigner
from runtime.tracing import switch as tracing
from runtime.write_probe import probe_deliveries

STATEMENT_TIMEOUT = timedelta(seconds=2)
POOL_SIZE = 5
"""Database connections: one commits the current batch, the others serve `/readyz`."""


def create_app(settings: ReceiverSettings) -> ReceiverApp:
    """Build the receiver of all accounts."""
    database = settings.database(POOL_SIZE, STATEMENT_TIMEOUT, pre_ping=False)
    job_queue = JobQueue(settings.redis())
    cipher = settings.cipher()
    auth = WebhookAuth(
        AddressSigner(settings.webhook_keys),
        settings.webhook_account,
        Accounts(database, cipher, AccountConfig(DEFAULT), settings.webhook_account),
        settings.verifier(),
        settings.webhook_max_body,
        settings.webhook_address_optional,
    )
    app_type, ingest_type = ReceiverApp, Ingest
    if tracing.start("receiver"):
        from receiver.tracing import TracedIngest, TracedReceiverApp  # late: imports OpenTelemetry

        app_type, ingest_type = TracedReceiverApp, TracedIngest
    ingest = ingest_type(database, job_queue, cipher, settings.web_threads)
    readiness = Readiness(partial(probe_deliveries, database), job_queue.probe_write)
    if settings.metrics_port:
        from receiver.metrics import count  # late: see runtime/http/metrics_server.py

        return app_type(auth, ingest, create_flask_app(), readiness, count)
    return app_type(auth, ingest, create_flask_app(), readiness)


def create_flask_app() -> Flask:
    """Build the Flask app: health checks, and the rejection of everything else."""
    app = FlaskApp(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # no redirects: `RequestHead.is_webhook` and Flask must agree on paths
    for path in (WEBHOOK_PATH, f"{WEBHOOK_PATH}/<token>"):
        app.post(path, endpoint=path, provide_automatic_options=False)(_not_found)
    app.get(READYZ, endpoint=READYZ)(_not_found)
    app.register_blueprint(health.blueprint)
    app.register_error_handler(HTTPException, _reject)
    return app


class FlaskApp(Flask):
    """A Flask app that keeps the secret address out of logged exceptions."""

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception without the request path, which Flask's own log line contains."""
        log_unhandled_exception(exc_info[1])


def _not_found(token: str = "") -> Response:
    """Return 404 for what `ReceiverApp` answers itself (it sees no webhook in a path with a second leading slash).

    The routes exist so that other methods get 405.
    """
    abort(404)


def _reject(error: HTTPException) -> Response:
    allowed = getattr(error, "valid_methods", None)
    reason = INTERNAL_ERROR if isinstance(error, InternalServerError) else (error.name or "refused").lower()
    headers = dict(CLOSE_CONNECTION)
    if allowed:
        headers["Allow"] = ", ".join(sorted(allowed))
    return to_flask_response(rejection(error.code or 500, reason, headers))
