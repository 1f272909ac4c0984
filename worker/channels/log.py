"""The log as a channel: it tells the operators that there was news, by ids."""

from typing import Any

import structlog

from worker.channels.base import Message
from worker.settings import WorkerSettings

log = structlog.get_logger()


class LogChannel:
    """What happens where nobody named another channel: one line, and nothing of people in it."""

    name = "log"
    is_personal = False
    destination = "log"

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "LogChannel":
        """The channel of the URL `log:`, which needs no settings."""
        return cls()

    def recipient(self, host: dict[str, Any] | None) -> str:
        """Always the log."""
        return "log"

    def send(self, message: Message) -> None:
        """Writes the line; it cannot fail."""
        log.info(
            "notification.logged",
            notification_id=message.id,
            kind=message.kind,
            booking_id=message.booking.get("id"),
        )
