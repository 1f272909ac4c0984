"""Channels for every service that Apprise supports: `slack://`, `workflows://`, `ntfy://`, `json://` and so on."""

import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from runtime.errors import Transient
from worker.channels.base import Message, Unresponsive
from worker.channels.text.message_text import MAX_LISTED, MessageText
from worker.channels.text.sanitize import escape_markup, one_line, safe_link
from worker.deadline import Deadline

if TYPE_CHECKING:
    from apprise import Apprise

TIMEOUT = timedelta(seconds=20)
"""Limit for one message, including the service's own retries."""
SLOW_AFTER = timedelta(seconds=3)
"""A failed send that took longer than this counts as a timeout. Apprise does not say why a send failed;
its services wait four seconds for a response unless their URLs say otherwise."""
LIST_LENGTHS = (MAX_LISTED, 50, 20, 10, 5, 1)
"""How many guests or bookings a message lists: the first number with which the service takes it."""
MIN_LIMIT = 1_000
"""A lower or equal limit is ignored: SMS gateways split a message, and Teams takes more than Apprise says."""
TEAMS = ("workflow", "workflows")
"""Microsoft Teams shows lines that a single line end separates as one (Adaptive Cards, `TextBlock`)."""

Presentation = Literal["info", "success", "warning", "failure"]


class AppriseChannel:
    """A channel that sends through one Apprise service.

    Args:
        scheme: scheme of the service's URL; the only part that is safe to show.
        service: the Apprise service object.
        timeout: limit for one message; after it the send has failed.
    """

    def __init__(self, scheme: str, service: "Apprise", timeout: timedelta = TIMEOUT) -> None:
        self.name = self.recipient = scheme  # the rest of the URL is mostly secrets
        self.destination = ":".join(str(part) for part in (scheme, service[0].host, service[0].port))
        self._service = service
        self._timeout = timeout
        self._max_length = _max_length(service)
        self._is_markdown = service[0].resolve_format("text") == "markdown"

    @classmethod
    def open(cls, url: str, timeout: timedelta = TIMEOUT) -> "AppriseChannel":
        """Open the channel for a URL of Apprise's. Redirects are never followed, whatever it says.

        Raises:
            ValueError: Apprise does not know the service, or the service needs more than the URL says.
        """
        # Imported late: Apprise loads more than a hundred services, and most processes need none of them.
        import apprise

        asset = apprise.AppriseAsset(storage_mode="memory", http_redirects=False)
        service = apprise.Apprise.instantiate(url, asset=asset)
        if not service:
            raise ValueError("Apprise does not know it, or something that it needs is missing from the URL")
        service.redirects = False
        return cls(url.partition(":")[0].lower(), apprise.Apprise(service, asset=asset), timeout)

    def send(self, message: Message) -> None:
        """Send subject and text.

        Raises:
            Unresponsive: the service did not respond in time.
            Transient: the service did not accept the message; Apprise does not say why.
        """
        link = safe_link(one_line(message.booking.get("meeting_link")))
        for max_listed in LIST_LENGTHS:
            rendered = MessageText.render(message, is_personal=False, max_listed=max_listed)
            title, body = escape_markup(rendered.subject), escape_markup(rendered.text, link)
            if len(body) <= self._room_below(title):
                break
        self._notify(title, body, "info")

    def send_text(self, subject: str, text: str, kind: Presentation) -> None:
        """Send a subject and a text as plain text: nothing in it mentions a user, is markup or becomes a link.

        Args:
            subject: one line.
            text: the body.
            kind: how a service presents it, for example by a colour.

        Raises:
            Transient: see `send`.
        """
        self._notify(escape_markup(subject), escape_markup(text), kind)

    def _room_below(self, title: str) -> int:
        """Return how many characters the service takes below a title, which can be part of the same text."""
        return self._max_length - len(title) - len("\r\n")

    def _as_markdown(self, body: str) -> str:
        """Return our text as Markdown. It holds no markup but lists, and such a list would swallow the line below."""
        text = body.replace("\n  - ", "\n  • ")
        return text.replace("\n", "\n\n") if self.name in TEAMS else text

    def _notify(self, title: str, body: str, kind: Presentation) -> None:
        room = self._room_below(title)
        # Apprise would escape a text for Markdown, its links too, which breaks them.
        body, body_format = (self._as_markdown(body), "markdown") if self._is_markdown else (body, "text")
        started = time.monotonic()
        with Deadline(self._timeout) as deadline:
            seconds = self._timeout.total_seconds()
            accepted = self._service.notify(
                title=title,
                body=body if len(body) <= room else f"{body[: room - 1]}…",
                body_format=body_format,
                notify_type=kind,
                timeout=seconds,
            )
            elapsed = timedelta(seconds=time.monotonic() - started)
        if accepted:
            return
        if deadline.expired or elapsed > min(SLOW_AFTER, self._timeout):
            raise Unresponsive(f"the service behind '{self.name}:' did not answer in time")
        raise Transient(f"the service behind '{self.name}:' did not take the message")


def _max_length(service: "Apprise") -> int:
    """Return the maximum length of a message, in characters. `?overflow=split` in the URL leaves it to Apprise."""
    is_ours = service[0].overflow_mode == "upstream" and service[0].body_maxlen > MIN_LIMIT
    return int(service[0].body_maxlen) if is_ours else sys.maxsize
