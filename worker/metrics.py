"""Metrics: counts what became of each attempt, after it was recorded."""

from datetime import datetime
from typing import Protocol

from models.delivery import Delivery
from models.notification import Notification


class Metrics(Protocol):
    """Counts tries. It never raises: what is done is done."""

    def delivery(self, delivery: Delivery, now: datetime) -> None:
        """A delivery was tried: it is done, dead, or pending to be tried again."""

    def notification(self, notification: Notification) -> None:
        """The same of a notification."""


class NoMetrics:
    """Counts nothing: nobody asked for numbers."""

    def delivery(self, delivery: Delivery, now: datetime) -> None:
        """Nothing."""

    def notification(self, notification: Notification) -> None:
        """Nothing."""
