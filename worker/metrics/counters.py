"""Prometheus counters of the workers. Import this module late: see runtime/http/metrics_server.py."""

from datetime import datetime

import structlog
from prometheus_client import Counter, Histogram

from models.account import DEFAULT
from models.account_cache import Accounts
from models.delivery import Delivery
from models.notification import Notification
from models.retryable import Status
from runtime.queue import QUEUES
from worker.channels.registry import CHANNELS
from worker.inbox.handlers import HANDLERS

ATTEMPTS = Counter("meetergo_inbox_attempts", "Attempts of rows in a queue, by outcome.", ["box", "outcome"])
HANDLED = Counter(
    "meetergo_inbox_deliveries_handled", "Attempts of deliveries, by event and outcome.", ["event", "outcome"]
)
PROCESSING = Histogram(
    "meetergo_inbox_delivery_processing_seconds",
    "Time from the receipt of a delivery to the commit of its changes.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
NOTIFICATIONS = Counter(
    "meetergo_inbox_notifications",
    "Attempts of notifications, by channel and outcome.",
    ["channel", "outcome"],
)

ACCOUNTS = Counter(
    "meetergo_inbox_account_attempts",
    "Attempts of rows in a queue, by account and outcome; counted while there are several accounts.",
    ["account", "box", "outcome"],
)

OUTCOMES: dict[Status, str] = {"done": "done", "pending": "retrying", "dead": "dead"}
OTHER_EVENT = "other"
"""Label for every event without a handler: a sender can choose any event name."""
OTHER_ACCOUNT = "other"
"""Label for every account that is not configured."""

log = structlog.get_logger()


class PrometheusMetrics:
    """Counts attempts in Prometheus. Every series starts at zero, so that the first occurrence shows as an increase.

    Args:
        accounts: the accounts, which are counted separately as soon as there are several.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        for outcome in OUTCOMES.values():
            for queue in QUEUES:
                ATTEMPTS.labels(queue, outcome)
            for event in (*HANDLERS, OTHER_EVENT):
                HANDLED.labels(event, outcome)
            for channel in CHANNELS:
                NOTIFICATIONS.labels(channel, outcome)

    def delivery(self, delivery: Delivery, now: datetime) -> None:
        """Count one attempt; if it succeeded, observe the time since the receipt."""
        event, outcome = delivery.event if delivery.event in HANDLERS else OTHER_EVENT, OUTCOMES[delivery.status]
        try:
            ATTEMPTS.labels("inbox", outcome).inc()
            HANDLED.labels(event, outcome).inc()
            self._count_account("inbox", delivery.account, outcome)
            if delivery.status == "done":
                PROCESSING.observe(max(0.0, (now - delivery.received_at).total_seconds()))
        except OSError as error:
            _log_failure(error)

    def notification(self, notification: Notification) -> None:
        """Count one attempt."""
        outcome = OUTCOMES[notification.status]
        try:
            ATTEMPTS.labels("outbox", outcome).inc()
            NOTIFICATIONS.labels(notification.channel, outcome).inc()
            self._count_account("outbox", notification.account, outcome)
        except OSError as error:
            _log_failure(error)

    def _count_account(self, queue: str, account: str, outcome: str) -> None:
        others = self._accounts.others()
        if others or account != DEFAULT:
            label = account if account == DEFAULT or account in others else OTHER_ACCOUNT
            ACCOUNTS.labels(label, queue, outcome).inc()


def _log_failure(error: OSError) -> None:
    """Log that the metrics folder is missing or its disk is full."""
    log.warning("metrics.failed", error=type(error).__name__)
