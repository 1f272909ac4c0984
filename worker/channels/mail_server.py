"""The mail server: takes one letter, or says what became of it."""

import smtplib
import ssl
from contextlib import closing, suppress
from datetime import timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

from models.failures import Failure, Permanent, Transient

TIMEOUT = timedelta(seconds=15)
"""For connecting and for each answer; all answers together have twice as long."""

LOGIN_NEEDED = {530, 534, 535, 538}
"""Said of us, not of the letter (RFC 4954): right settings will mend it."""

TROUBLE = (smtplib.SMTPException, OSError)


class MailServer:
    """An SMTP server.

    Args:
        url: `smtp://user:password@host:587` (STARTTLS where the server offers it) or `smtps://` (TLS at once).
        timeout: for connecting and for each answer.

    Raises:
        ValueError: the URL is malformed; says what SMTP_URL should look like.
    """

    def __init__(self, url: str, timeout: timedelta = TIMEOUT) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            if parts.scheme not in ("smtp", "smtps") or not host or not (user + password).isascii():
                raise ValueError
        except ValueError:
            raise ValueError(
                "set SMTP_URL to 'smtp://user:password@host:587' or 'smtps://...', with '%40' and so on "
                "for special characters in user and password"
            ) from None
        self._is_tls = parts.scheme == "smtps"
        self._host, self._port = host, port or (465 if self._is_tls else 587)
        self._user, self._password = user, password
        self._timeout = timeout.total_seconds()

    def deliver(self, letter: EmailMessage, sender: str, recipient: str) -> None:
        """Hands a letter over.

        Raises:
            Permanent: the server refuses the sender, the recipient or the letter.
            Transient: it cannot be reached, does not let us in, or asks to come back.
        """
        try:
            with closing(self._call()) as conversation:
                self._introduce(conversation)
                conversation.send_message(letter, sender, [recipient])
                with suppress(*TROUBLE):  # the letter is taken: an unfriendly goodbye must not send it twice
                    conversation.quit()
        except TROUBLE as error:
            # Not chained: the errors of smtplib carry addresses.
            raise _meaning(error) from None

    def _call(self) -> "Conversation":
        if self._is_tls:
            return TlsConversation(self._host, self._port, timeout=self._timeout, context=trust(self._host))
        return Conversation(self._host, self._port, timeout=self._timeout)

    def _introduce(self, conversation: "Conversation") -> None:
        conversation.ehlo_or_helo_if_needed()
        is_private = self._is_tls or is_loopback(self._host)
        if not self._is_tls and conversation.has_extn("starttls"):
            conversation.starttls(context=trust(self._host))
            is_private = True
        if not self._user:
            return
        if not is_private:
            raise Transient("the mail server offers no encryption, so our password was not sent")
        try:
            conversation.login(self._user, self._password)
        except (smtplib.SMTPNotSupportedError, smtplib.SMTPAuthenticationError):
            raise Transient("the mail server did not accept our user and password") from None


class Conversation(smtplib.SMTP):
    """SMTP that ends in time, even if each single answer comes just before its own timeout."""

    def __init__(self, host: str, port: int, *, timeout: float, **tls: Any) -> None:
        self._ends_at = monotonic() + 2 * timeout
        super().__init__(host, port, timeout=timeout, **tls)

    def getreply(self) -> tuple[int, bytes]:
        """Waits for an answer, but not past the end of the conversation."""
        left = self._ends_at - monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock:
            self.sock.settimeout(min(left, self.timeout))
        return super().getreply()


class TlsConversation(Conversation, smtplib.SMTP_SSL):
    """The same, encrypted from its first byte."""


def trust(host: str) -> ssl.SSLContext:
    """Which certificates we accept: those of a known authority, and on this machine any."""
    context = ssl.create_default_context()
    if is_loopback(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _meaning(error: Exception) -> Failure:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _refusal("the recipient", next(iter(error.recipients.values()))[0])
        case smtplib.SMTPSenderRefused():
            return _refusal("the sender", error.smtp_code)
        case smtplib.SMTPDataError():
            return _refusal("the message", error.smtp_code)
        case smtplib.SMTPNotSupportedError():
            return Permanent("the mail server cannot take an address with letters beyond ASCII")
        case ssl.SSLCertVerificationError():
            return Transient("the mail server's certificate cannot be trusted")
        case _:
            return Transient(f"the conversation with the mail server failed ({type(error).__name__})")


def _refusal(what: str, code: int) -> Failure:
    said = f"the mail server refused {what} ({code})"
    is_final = code >= 500 and code not in LOGIN_NEEDED
    return Permanent(said) if is_final else Transient(said)
