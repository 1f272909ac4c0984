"""Metrics: count the responses to webhooks, rejections too, and measure their latency."""

import structlog
from prometheus_client import Counter, Histogram

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


for _reason in (*REASONS.values(), OTHER):
    REJECTED.labels(_reason)


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
