"""The mail channel: a message with a calendar invite, to the booking's host or to a fixed address."""

from urllib.parse import unquote

from runtime.errors import Permanent
from worker.channels.base import Message
from worker.channels.mail.composer import MailComposer
from worker.channels.mail.headers import mailbox
from worker.channels.mail.smtp import MailServer
from worker.settings import WorkerSettings


class MailChannel:
    """Sends notifications by mail.

    Args:
        server: the SMTP server.
        composer: composes the mails.
        fixed: address for all messages; None to write to each booking's host.
    """

    name = "mailto"

    def __init__(self, server: MailServer, composer: MailComposer, fixed: str | None = None) -> None:
        self.destination = f"{self.name}:{server.netloc}"
        self._server = server
        self._composer = composer
        self.recipient = fixed

    @classmethod
    def open(cls, url: str, settings: WorkerSettings) -> "MailChannel":
        """Open the channel for `mailto:` (the host's own address) or `mailto:name@example.com`.

        Raises:
            ValueError: not such a URL, SMTP_URL or MAIL_FROM is missing or malformed, or a setting of the look cannot
                be used.
        """
        fixed = unquote(url.partition(":")[2])
        if fixed and (not mailbox(fixed) or fixed.startswith("//")):  # RFC 5322 allows a slash, but nobody has it
            raise ValueError("write 'mailto:' for each host's own address, or 'mailto:name@example.com'")
        composer = MailComposer.open(settings, is_personal=not fixed)
        return cls(MailServer(settings.smtp_url), composer, fixed or None)

    def send(self, message: Message) -> None:
        """Compose the mail and send it.

        Raises:
            Permanent: the address is invalid, or the mail server rejects the message.
            Unresponsive: the mail server did not respond in time.
            Transient: the mail server cannot accept it now.
        """
        name = (message.host or {}).get("name") if self.recipient is None else None
        recipient = mailbox(message.recipient, name or "")
        if not recipient:
            raise Permanent("the recipient's e-mail address is malformed")
        mail = self._composer.compose(message, recipient)
        self._server.deliver(mail, self._composer.sender.addr_spec, recipient.addr_spec)
