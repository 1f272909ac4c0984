"""Metrics: the outermost WSGI middleware, which counts the responses to webhooks and measures their latency."""

import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import Counter, Histogram

from receiver.auth import is_webhook_post

ACCEPTED = Counter("meetergo_inbox_deliveries_accepted", "Webhooks that were kept and answered with 200.")
REJECTED = Counter("meetergo_inbox_deliveries_refused", "Webhooks that were not kept, by reason.", ["reason"])
ACK_DURATION = Histogram(
    "meetergo_inbox_ack_duration_seconds",
    "How long it took to keep a webhook, or to find out that nothing can: answers 200 and 5xx.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)

REASONS = {
    400: "malformed",
    401: "bad_signature",
    404: "unknown_address",
    408: "too_slow",
    411: "no_length",
    413: "too_large",
    415: "unsupported_encoding",
    500: "broken",
    503: "nothing_keeps_it",
}
OTHER = "other"

log = structlog.get_logger()


class MetricsMiddleware:
    """Counts responses to webhooks. It wraps the authentication, so that rejections count too.

    Args:
        app: the wrapped WSGI application.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        for reason in (*REASONS.values(), OTHER):
            REJECTED.labels(reason)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass every request on unchanged."""
        if not is_webhook_post(environ):
            return self._app(environ, start_response)
        status, started = 500, time.perf_counter()

        def record_status(status_line: str, *rest: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(status_line[:3])
            return start_response(status_line, *rest)

        try:
            return self._app(environ, record_status)
        finally:
            count(status, time.perf_counter() - started)


def count(status: int, seconds: float) -> None:
    """Count one response to a webhook.

    Args:
        status: its HTTP status.
        seconds: how long it took.
    """
    try:
        if status == 200:
            ACCEPTED.inc()
        else:
            REJECTED.labels(REASONS.get(status, OTHER)).inc()
        if status == 200 or status >= 500:
            ACK_DURATION.observe(seconds)
    except OSError as error:  # the metrics folder is gone or its disk is full: no reason to reject a webhook
        log.warning("metrics.failed", error=type(error).__name__)
