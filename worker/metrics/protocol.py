"""Metrics: count the result of each attempt after it was recorded."""

from datetime import datetime
from typing import Protocol

from models.delivery import Delivery
from models.notification import Notification


class Metrics(Protocol):
    """Counts attempts. Never raises: the work is already committed."""

    def delivery(self, delivery: Delivery, now: datetime) -> None:
        """Count an attempt at a delivery, which is now done, dead, or pending a retry."""

    def notification(self, notification: Notification) -> None:
        """Count an attempt at a notification."""


class NoMetrics:
    """Counts nothing; used when metrics are disabled."""

    def delivery(self, delivery: Delivery, now: datetime) -> None:
        """Do nothing."""

    def notification(self, notification: Notification) -> None:
        """Do nothing."""
