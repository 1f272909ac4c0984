"""Compose a mail: headers, text, HTML with the logo, and the calendar invite."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from functools import lru_cache
from hashlib import sha256

from worker.channels.base import Message
from worker.channels.mail.branding import LOGO_CID, MailBranding
from worker.channels.mail.calendar_invite import CalendarInvite
from worker.channels.mail.headers import address_header, mailbox, plain_header, text_header
from worker.channels.mail.reply_to import guest_to_reply_to
from worker.channels.mail.templates import MailBody, MailTemplates
from worker.channels.mail.variables import LOGO_SOURCE
from worker.channels.text.message_text import MessageText
from worker.settings import MailSettings

UNQUOTED_NAME = re.compile(r'([^<>@"]*)(<[^<>]*>)')
"""A name as people write it, with commas, colons and brackets, and an address. Python's parser takes it for a list."""
SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""7-bit content works with every mail server without negotiating an extension."""


@dataclass(frozen=True)
class MailComposer:
    """Composes mails.

    Attributes:
        sender: name and address for `From`.
        templates: render subject, text and HTML.
        replies_to_guest: whether a reply goes to the guest rather than to the sender.
        is_personal: whether the host reads the mails, rather than a place that several people read.
    """

    sender: Address
    templates: MailTemplates
    replies_to_guest: bool = True
    is_personal: bool = True

    @classmethod
    def open(cls, settings: MailSettings, *, is_personal: bool) -> "MailComposer":
        """Build the composer from settings.

        Raises:
            ValueError: MAIL_FROM is missing or malformed.
            InvalidBranding: a setting of the branding cannot be used.
        """
        sender = parse_sender(settings)
        return cls(sender, open_templates(settings), settings.mail_reply_to_guest, is_personal)

    def compose(self, message: Message, recipient: Address) -> EmailMessage:
        """Compose the mail of a message. The same message becomes the same mail on each attempt."""
        text = MessageText.render(message, is_personal=self.is_personal)
        return self.assemble(message, recipient, text, self.templates.render(message, text))

    def invite(self, message: Message, recipient: Address, text: MessageText) -> CalendarInvite | None:
        """Return the calendar invite of a message; None if it has none."""
        return CalendarInvite.to(recipient, message, text, self.sender)

    def assemble(self, message: Message, recipient: Address, text: MessageText, body: MailBody) -> EmailMessage:
        """Assemble a mail from its rendered parts."""
        mail = EmailMessage(policy=SEVEN_BIT)
        mail["Subject"] = text_header("Subject", body.subject)
        mail["From"] = address_header("From", self.sender)
        mail["To"] = address_header("To", recipient)
        guest = guest_to_reply_to(message, recipient, self.sender) if self.replies_to_guest else None
        if guest:
            mail["Reply-To"] = address_header("Reply-To", guest)
        mail["Date"] = message.made_at
        mail["Message-ID"] = plain_header("Message-ID", f"<{message.id}@{self.sender.domain}>")
        if message.kind != "summary":
            mail["References"] = plain_header("References", f"<{_thread(message)}@{self.sender.domain}>")
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"  # Exchange: no absence note to sender or guest
        mail.set_content(body.text)
        mail.add_alternative(body.html, subtype="html")
        self._embed_logo(mail, body)
        invite = self.invite(message, recipient, text)
        if invite:
            _attach(invite, mail)
        return mail

    def _embed_logo(self, mail: EmailMessage, body: MailBody) -> None:
        logo = self.templates.branding.logo
        if logo and LOGO_SOURCE in body.html:
            *_, html = mail.iter_parts()
            assert isinstance(html, EmailMessage)  # noqa: S101 - it is one of those just added
            html.add_related(
                logo.content,
                maintype="image",
                subtype=logo.subtype,
                cid=f"<{LOGO_CID}>",
                disposition="inline",
                filename=f"logo.{logo.subtype}",
            )


def _thread(message: Message) -> str:
    """Return what the mails of one booking refer to, so that a mail program shows them as one conversation.

    No mail has this id, because the booking's first mail is another one for each reader.
    """
    return f"booking_{sha256(str(message.booking['id']).encode('utf-8', 'replace')).hexdigest()[:32]}"


def _attach(invite: CalendarInvite, mail: EmailMessage) -> None:
    """Attach the invite twice: some calendar programs read the alternative part, others only the attachment."""
    mail.add_alternative(invite.ics.decode(), subtype="calendar", params={"method": invite.method})
    mail.add_attachment(invite.ics, maintype="application", subtype="ics", filename="invite.ics")


def parse_sender(settings: MailSettings) -> Address:
    """Parse MAIL_FROM, whose display name needs no quotes. If it has none, MAIL_NAME is used.

    Raises:
        ValueError: it is missing, or is not exactly one address.
    """
    unquoted = UNQUOTED_NAME.fullmatch(settings.mail_from.strip())
    name, address = unquoted.groups() if unquoted else ("", settings.mail_from)
    senders = [mailbox(each, name.strip() or rest or settings.mail_name) for rest, each in getaddresses([address])]
    if len(senders) != 1 or not senders[0]:
        missing = "" if settings.mail_from else "MAIL_FROM is not set: "
        raise ValueError(f"{missing}set MAIL_FROM to an address, such as 'Bookings <bookings@example.com>'")
    return senders[0]


def open_templates(settings: MailSettings) -> MailTemplates:
    """Open the templates with the platform's look. A process reads and checks them once.

    Raises:
        InvalidBranding: a setting of the branding cannot be used.
    """
    try:
        name = settings.mail_name or parse_sender(settings).display_name
    except ValueError:
        name = ""
    return _open_templates(name, settings.mail_color, settings.mail_logo, settings.mail_templates)


@lru_cache(maxsize=8)
def _open_templates(name: str, color: str, logo: str, folder: str) -> MailTemplates:
    return MailTemplates.open(MailBranding.of(name, color, logo), folder)
