"""The log as a channel: it records that a notification was due, by its ids."""

import structlog

from worker.channels.base import Message
from worker.settings import WorkerSettings

log = structlog.get_logger()


class LogChannel:
    """The default channel: one log line per notification, without personal data."""

    name = "log"
    recipient = "log"
    destination = "log"

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "LogChannel":
        """Open the channel for the URL `log:`, which needs no settings."""
        return cls()

    def send(self, message: Message) -> None:
        """Log the notification; this cannot fail."""
        log.info(
            "notification.logged",
            notification_id=message.id,
            kind=message.kind,
            booking_id=message.booking.get("id"),
        )
