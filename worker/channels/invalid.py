"""A channel that cannot be opened: its notifications end dead with a visible reason and can be replayed later."""

import re
from urllib.parse import unquote

from runtime.errors import Permanent
from worker.channels.base import Message

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
ANOTHER_CHANNEL = re.compile(r"[\s;|](?:log:|mailto:|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
MAX_PLACE_LENGTH = 255


def check_is_one(url: str) -> None:
    """Check that a channel's URL does not hold another one, which would be lost without a word.

    Raises:
        ValueError: it does.
    """
    if ANOTHER_CHANNEL.search(url):
        raise ValueError("it holds another channel: separate channels by commas")


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
        self.recipient = _fixed_recipient(self.name, unquote(rest), url)

    def send(self, message: Message) -> None:
        """Always fail.

        Raises:
            Permanent: always, with the reason.
        """
        raise Permanent(f"this platform user's channel cannot be used: {self._reason}")


def _fixed_recipient(name: str, rest: str, url: str) -> str | None:
    """Return the fixed recipient in a form that is safe to show; None if the channel writes to each host."""
    if name == "mailto":
        from worker.channels.mail.headers import mailbox  # libraries that only a host with such a URL needs

        return (rest if mailbox(rest) else "unknown") if rest else None
    if name in ("http", "https"):
        from urllib3.exceptions import HTTPError
        from urllib3.util import parse_url

        try:
            return (parse_url(url).netloc or name)[:MAX_PLACE_LENGTH]
        except HTTPError:
            return name
    return name if name != "unusable" else "unknown"
