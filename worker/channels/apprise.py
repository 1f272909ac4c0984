"""Everything that Apprise speaks as a channel: `slack://`, `msteams://`, `ntfy://`, `json://` and so on."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from runtime.errors import Transient
from worker.channels.base import Message, Unresponsive
from worker.channels.message_text import MessageText
from worker.channels.sanitize import escape_markup, one_line, safe_link
from worker.deadline import Deadline
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from apprise import Apprise

TIMEOUT = timedelta(seconds=20)
"""In all, however often a service retries and however slowly it answers."""
SLOW_AFTER = timedelta(seconds=3)
"""Apprise does not say why a message was not taken. What took longer than this had to wait for an answer: the services
wait for four seconds, unless their URLs say otherwise."""


class AppriseChannel:
    """One service that Apprise knows.

    Args:
        scheme: of the service's URL; all of it that is safe to show.
        service: what sends.
        timeout: after this, a message counts as not sent.
    """

    is_personal = False

    def __init__(self, scheme: str, service: "Apprise", timeout: timedelta = TIMEOUT) -> None:
        self.name = scheme
        self.destination = ":".join(str(part) for part in (scheme, service[0].host, service[0].port))
        self._service = service
        self._timeout = timeout

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "AppriseChannel":
        """The channel of any other URL, which needs no settings.

        Raises:
            ValueError: see `from_url`.
        """
        return cls.from_url(url)

    @classmethod
    def from_url(cls, url: str, timeout: timedelta = TIMEOUT) -> "AppriseChannel":
        """The channel of a URL of Apprise. It follows no redirects, whatever the URL says.

        Raises:
            ValueError: Apprise has no such service, or it asks for more than the URL says.
        """
        # It loads more than a hundred services, and most processes need none of them.
        import apprise

        asset = apprise.AppriseAsset(storage_mode="memory", http_redirects=False)
        service = apprise.Apprise.instantiate(url, asset=asset)
        if not service:
            raise ValueError("Apprise does not know it, or something that it needs is missing from the URL")
        service.redirects = False
        return cls(url.partition(":")[0].lower(), apprise.Apprise(service, asset=asset), timeout)

    def recipient(self, host: dict[str, Any] | None) -> str:
        """The scheme: the rest of the URL is mostly secrets."""
        return self.name

    def send(self, message: Message) -> None:
        """Sends subject and text.

        Raises:
            Unresponsive: there was no answer in time.
            Transient: the service did not take it; Apprise does not say why.
        """
        rendered = MessageText.render(message, is_personal=False)
        self.send_text(rendered.subject, rendered.text, link=safe_link(one_line(message.booking.get("meeting_link"))))

    def send_text(
        self,
        subject: str,
        text: str,
        kind: Literal["info", "success", "failure"] = "info",
        *,
        link: str | None = None,
    ) -> None:
        """Sends any subject and text, as text: nothing in it pings anybody, marks up or becomes a link.

        Args:
            subject: one line.
            text: the rest.
            kind: what a service shows it as, such as by a colour.
            link: what may be clicked on, if it stands in the text.

        Raises:
            Transient: see `send`.
        """
        started = time.monotonic()
        with Deadline(self._timeout) as deadline:
            seconds = self._timeout.total_seconds()
            accepted = self._service.notify(
                title=escape_markup(subject),
                body=escape_markup(text, link),
                body_format="text",
                notify_type=kind,
                timeout=seconds,
            )
            elapsed = timedelta(seconds=time.monotonic() - started)
        if accepted:
            return
        if deadline.expired or elapsed > min(SLOW_AFTER, self._timeout):
            raise Unresponsive(f"the service behind '{self.name}:' did not answer in time")
        raise Transient(f"the service behind '{self.name}:' did not take the message")
