"""Mail as a channel: a letter with an invitation, to the booking's host or to a fixed address."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from typing import Any
from urllib.parse import unquote

from runtime.errors import Permanent
from worker.channels.base import Message
from worker.channels.calendar_invite import CalendarInvite
from worker.channels.mail_headers import address_header, mailbox, plain_header, text_header
from worker.channels.message_text import MessageText
from worker.channels.smtp import MailServer
from worker.settings import WorkerSettings

SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""Every server takes it, and none has to be asked."""


class MailChannel:
    """Writes letters.

    Args:
        server: takes them.
        sender: whose name and address they carry.
        fixed: where all of them go; None to write to each booking's host.
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
        """The channel of `mailto:` (the host's own address) or `mailto:name@example.com`.

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
        """The fixed address, or the host's; None if the host is unknown or has none."""
        return self._fixed or (host or {}).get("email") or None

    def send(self, message: Message) -> None:
        """Writes and sends it.

        Raises:
            Permanent: the address is none, or the mail server refuses the letter.
            Unresponsive: the mail server did not answer in time.
            Transient: the mail server cannot take it now.
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
    """Twice: some calendar programs read the alternative, others only the attachment."""
    mail.add_alternative(invite.ics.decode(), subtype="calendar", params={"method": invite.method})
    mail.add_attachment(invite.ics, maintype="application", subtype="ics", filename="invite.ics")
