"""A channel that cannot be opened: its notifications end dead with a visible reason and can be replayed later."""

import re
from typing import Any
from urllib.parse import unquote

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from runtime.errors import Permanent
from worker.channels.base import Message
from worker.channels.mail.headers import mailbox

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
MAX_PLACE_LENGTH = 255


class InvalidChannel:
    """Stand-in for a platform user's channel URL that cannot be used.

    It has the name and recipient of the real channel, so that its notifications match that channel once it works.

    Args:
        reason: why the URL cannot be used; a sentence that names the setting and quotes no secret.
        url: the channel's URL, if the value is one.
    """

    def __init__(self, reason: str, url: str = "") -> None:
        scheme, colon, rest = url.partition(":")
        self.name = scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else "unusable"
        self.destination = "unusable"
        self._reason = reason
        self._fixed = _fixed_recipient(self.name, unquote(rest), url)
        self.is_personal = self._fixed is None

    def recipient(self, host: dict[str, Any] | None) -> str | None:
        """Return the recipient of the real channel."""
        return self._fixed or (host or {}).get("email") or None

    def send(self, message: Message) -> None:
        """Always fail.

        Raises:
            Permanent: always, with the reason.
        """
        raise Permanent(f"this platform user's channel cannot be used: {self._reason}")


def _fixed_recipient(name: str, rest: str, url: str) -> str | None:
    """Return the fixed recipient in a form that is safe to show; None if the channel writes to each host."""
    if name == "mailto":
        return (rest if mailbox(rest) else "unknown") if rest else None
    if name in ("http", "https"):
        try:
            return (parse_url(url).netloc or name)[:MAX_PLACE_LENGTH]
        except HTTPError:
            return name
    return name if name != "unusable" else "unknown"
