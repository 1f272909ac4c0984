"""A channel that cannot be opened: its news dies with a reason that an operator can see, and can be replayed later."""

import re
from typing import Any
from urllib.parse import unquote

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from runtime.errors import Permanent
from worker.channels.base import Message
from worker.channels.mail_headers import mailbox

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
MAX_PLACE_LENGTH = 255


class InvalidChannel:
    """Stands for a URL of a platform user's that we cannot use.

    It is called as the channel would be, and tells the same recipient, so that its news is known again once the channel
    can be used.

    Args:
        reason: why it cannot be used; a sentence that names the setting, and quotes no secret.
        url: of the channel, if it is one.
    """

    def __init__(self, reason: str, url: str = "") -> None:
        scheme, colon, rest = url.partition(":")
        self.name = scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else "unusable"
        self.destination = "unusable"
        self._reason = reason
        self._fixed = _fixed_recipient(self.name, unquote(rest), url)
        self.is_personal = self._fixed is None

    def recipient(self, host: dict[str, Any] | None) -> str | None:
        """Whom the channel would tell."""
        return self._fixed or (host or {}).get("email") or None

    def send(self, message: Message) -> None:
        """Never works.

        Raises:
            Permanent: says why.
        """
        raise Permanent(f"this platform user's channel cannot be used: {self._reason}")


def _fixed_recipient(name: str, rest: str, url: str) -> str | None:
    """What is safe to show of it; None if it writes to each host."""
    if name == "mailto":
        return (rest if mailbox(rest) else "unknown") if rest else None
    if name in ("http", "https"):
        try:
            return (parse_url(url).netloc or name)[:MAX_PLACE_LENGTH]
        except HTTPError:
            return name
    return name if name != "unusable" else "unknown"
