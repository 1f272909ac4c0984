"""The log as a channel: it records that a notification was due, by its ids."""

from typing import Any

import structlog

from worker.channels.base import Message
from worker.settings import WorkerSettings

log = structlog.get_logger()


class LogChannel:
    """The default channel: one log line per notification, without personal data."""

    name = "log"
    is_personal = False
    destination = "log"

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "LogChannel":
        """Open the channel for the URL `log:`, which needs no settings."""
        return cls()

    def recipient(self, host: dict[str, Any] | None) -> str:
        """Return "log"."""
        return "log"

    def send(self, message: Message) -> None:
        """Log the notification; this cannot fail."""
        log.info(
            "notification.logged",
            notification_id=message.id,
            kind=message.kind,
            booking_id=message.booking.get("id"),
        )
