"""The mail channel: a message with a calendar invite, to the booking's host or to a fixed address."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from typing import Any
from urllib.parse import unquote

from runtime.errors import Permanent
from worker.channels.base import Message
from worker.channels.mail.calendar_invite import CalendarInvite
from worker.channels.mail.headers import address_header, mailbox, plain_header, text_header
from worker.channels.mail.smtp import MailServer
from worker.channels.text.message_text import MessageText
from worker.settings import WorkerSettings

SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""7-bit content works with every mail server without negotiating an extension."""


class MailChannel:
    """Sends notifications by mail.

    Args:
        server: the SMTP server.
        sender: name and address for `From`.
        fixed: address for all messages; None to write to each booking's host.
    """

    name = "mailto"

    def __init__(self, server: MailServer, sender: Address, fixed: str | None = None) -> None:
        self.is_personal = fixed is None
        self.destination = f"{self.name}:{server.netloc}"
        self._server = server
        self._sender = sender
        self._fixed = fixed

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "MailChannel":
        """Open the channel for `mailto:` (the host's own address) or `mailto:name@example.com`.

        Raises:
            ValueError: not such a URL, or SMTP_URL or MAIL_FROM is missing or malformed.
        """
        fixed = unquote(url.partition(":")[2])
        if fixed and not mailbox(fixed):
            raise ValueError("write 'mailto:' for each host's own address, or 'mailto:name@example.com'")
        senders = [mailbox(address, name) for name, address in getaddresses([settings.mail_from])]
        if len(senders) != 1 or not senders[0]:
            missing = "" if settings.mail_from else "MAIL_FROM is not set: "
            raise ValueError(f"{missing}set MAIL_FROM to an address, such as 'Bookings <bookings@example.com>'")
        return cls(MailServer(settings.smtp_url), senders[0], fixed or None)

    def recipient(self, host: dict[str, Any] | None) -> str | None:
        """Return the fixed address or the host's; None if the host is unknown or has no address."""
        return self._fixed or (host or {}).get("email") or None

    def send(self, message: Message) -> None:
        """Compose the mail and send it.

        Raises:
            Permanent: the address is invalid, or the mail server rejects the message.
            Unresponsive: the mail server did not respond in time.
            Transient: the mail server cannot accept it now.
        """
        name = (message.host or {}).get("name") if self.is_personal else None
        recipient = mailbox(message.recipient, name or "")
        if not recipient:
            raise Permanent("the recipient's e-mail address is malformed")
        mail = self._compose(message, recipient)
        self._server.deliver(mail, self._sender.addr_spec, recipient.addr_spec)

    def _compose(self, message: Message, recipient: Address) -> EmailMessage:
        rendered = MessageText.render(message, is_personal=self.is_personal)
        mail = EmailMessage(policy=SEVEN_BIT)
        mail["Subject"] = text_header("Subject", rendered.subject)
        mail["From"] = address_header("From", self._sender)
        mail["To"] = address_header("To", recipient)
        mail["Date"] = message.made_at
        mail["Message-ID"] = plain_header("Message-ID", f"<{message.id}@{self._sender.domain}>")
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(rendered.text)
        mail.add_alternative(rendered.html, subtype="html")
        invite = CalendarInvite.to(recipient, message, rendered, self._sender)
        if invite:
            _attach(invite, mail)
        return mail


def _attach(invite: CalendarInvite, mail: EmailMessage) -> None:
    """Attach the invite twice: some calendar programs read the alternative part, others only the attachment."""
    mail.add_alternative(invite.ics.decode(), subtype="calendar", params={"method": invite.method})
    mail.add_attachment(invite.ics, maintype="application", subtype="ics", filename="invite.ics")
