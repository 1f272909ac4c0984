"""A channel that cannot be opened: its news dies with a reason that an operator can see."""

from typing import Any

from models.failures import Permanent
from worker.channels.channel import Message


class BrokenChannel:
    """Stands for a URL of a platform user's that we cannot use.

    Args:
        reason: why; a sentence without secrets.
    """

    name = "unusable"
    is_personal = False
    destination = "unusable"

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def recipient(self, host: dict[str, Any] | None) -> str | None:
        """Nobody that we could name."""
        return "unknown"

    def send(self, message: Message) -> None:
        """Never works."""
        raise Permanent(f"this platform user's channel cannot be used: {self._reason}")
