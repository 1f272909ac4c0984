"""SMTP client: delivers one mail and classifies the result."""

import re
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTPUTF8
from ipaddress import ip_address
from socket import gaierror
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from runtime.errors import Failure, Permanent, Transient
from worker.channels.base import Unresponsive
from worker.deadline import Deadline

TIMEOUT = timedelta(seconds=30)
"""Limit for the whole session, from name resolution to QUIT."""
TLS_PORT = 465
"""Port on which servers speak TLS from the first byte. They wait for ours before they say anything."""
MAX_REPLY_BYTES = 65_536
ENHANCED_CODE = re.compile(rb"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
"""Enhanced status code (RFC 3463): 5.1.1 is an unknown address, 5.7.1 a lack of authorisation."""

LOGIN_REPLY_CODES = {503, 530, 534, 535, 538}
"""Authentication failures (RFC 4954): correct settings resolve them, so they are transient. MailEnable and qmail say
503 where the RFC has 530."""
QUOTA = "5.4.5"
"""Enhanced status code of a used-up quota, as Gmail's daily limit of messages (550 5.4.5): it ends by itself."""

SMTP_ERRORS = (smtplib.SMTPException, OSError)
SmtpReply = tuple[int, bytes]
"""Code and text of a reply."""


class MailServer:
    """An SMTP server.

    Args:
        url: `smtp://user:password@host:587` (STARTTLS where the server offers it) or `smtps://` (TLS at once), as the
            settings have checked it.
        timeout: limit for the whole session.

    Attributes:
        netloc: host and port.

    Raises:
        ValueError: the URL is missing, or its user or password is not ASCII; says what SMTP_URL should look like.
    """

    def __init__(self, url: str, timeout: timedelta = TIMEOUT) -> None:
        parts = urlsplit(url)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        if not url or not (self._user + self._password).isascii():
            missing = "" if url else "SMTP_URL is not set: "
            raise ValueError(
                f"{missing}set SMTP_URL to 'smtp://user:password@host:587' or 'smtps://...', with '%40' and so on "
                "for special characters in user and password"
            )
        self._is_tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname or "", parts.port or (TLS_PORT if self._is_tls else 587)
        self.netloc = f"{self._host}:{self._port}"
        self._timeout = timeout

    def deliver(self, mail: EmailMessage, sender: str, recipient: str) -> None:
        """Deliver one mail.

        Raises:
            Permanent: the server rejects the sender, the recipient or the message.
            Unresponsive: the server did not respond in time.
            Transient: the server is unreachable, rejects the login, or asks to retry later.
        """
        with Deadline(self._timeout) as deadline:
            try:
                with closing(self._connect()) as session:
                    self._secure_and_log_in(session)
                    session.send_mail(mail, sender, recipient)
                    with suppress(*SMTP_ERRORS):  # the mail is accepted: an error in QUIT must not send it twice
                        session.quit()
            except SMTP_ERRORS as error:
                # Not chained: smtplib's errors carry addresses.
                raise self._to_failure(TimeoutError() if deadline.expired else error) from None

    def _connect(self) -> "SmtpSession":
        timeout = self._timeout.total_seconds()
        if self._is_tls:
            return TlsSmtpSession(self._host, self._port, timeout=timeout, context=ssl_context_for(self._host))
        return SmtpSession(self._host, self._port, timeout=timeout)

    def _secure_and_log_in(self, session: "SmtpSession") -> None:
        session.ehlo_or_helo_if_needed()
        is_private = self._is_tls or is_loopback(self._host)
        if not self._is_tls and session.has_extn("starttls"):
            session.starttls(context=ssl_context_for(self._host))
            is_private = True
        if not self._user:
            return
        if not is_private:
            raise Transient("the mail server offers no encryption, so our password was not sent")
        try:
            session.login(self._user, self._password)
        except (smtplib.SMTPNotSupportedError, smtplib.SMTPAuthenticationError):
            raise Transient("the mail server did not accept our user and password") from None
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException:  # it offers no way to log in that smtplib knows
            ways = session.esmtp_features.get("auth", "").strip() or "nothing"
            raise Transient(f"the mail server takes no password, only: {ways[:100]}") from None

    def _to_failure(self, error: Exception) -> Failure:
        match error:
            case smtplib.SMTPRecipientsRefused():
                return _refusal("the recipient", *next(iter(error.recipients.values())))
            case smtplib.SMTPSenderRefused():
                return _refusal("the sender", error.smtp_code, error.smtp_error)
            case smtplib.SMTPDataError():
                return _refusal("the message", error.smtp_code, error.smtp_error)
            case smtplib.SMTPNotSupportedError():
                return Permanent("the mail server does not accept non-ASCII addresses")
            case smtplib.SMTPResponseException():
                return Transient(
                    f"the mail server refused the conversation ({_codes(error.smtp_code, error.smtp_error)})"
                )
            case ssl.SSLCertVerificationError():
                return Transient("the mail server's certificate cannot be trusted")
            case ssl.SSLError():
                return Transient(
                    "the mail server does not speak TLS as SMTP_URL says: smtps:// is usual on port 465, smtp:// on 587"
                )
            case TimeoutError():
                hint = "; port 465 needs smtps:// in SMTP_URL" if self._port == TLS_PORT and not self._is_tls else ""
                return Unresponsive(f"the conversation with the mail server failed: it did not answer in time{hint}")
            case _:
                where = f" at {self.netloc}" if isinstance(error, ConnectionRefusedError | gaierror) else ""
                return Transient(f"the conversation with the mail server failed ({type(error).__name__}{where})")


class SmtpSession(smtplib.SMTP):
    """An SMTP session whose replies are bounded in size, and whose commands succeed with any 2yz.

    RFC 5321 (4.2.1) leaves that to the first digit. smtplib takes a mail for refused that was accepted with 251, and a
    retry would send it once more.
    """

    def send_mail(self, mail: EmailMessage, sender: str, recipient: str) -> None:
        """Send a mail, with SMTPUTF8 only if an address needs it.

        `send_message` would write `>From` where a line of the text begins with "From ".

        Raises:
            smtplib.SMTPException: the server does not accept it.
        """
        is_international = not (sender + recipient).isascii()
        if is_international and not self.has_extn("smtputf8"):
            raise smtplib.SMTPNotSupportedError
        content = mail.as_bytes(policy=SMTPUTF8 if is_international else None)
        options = ("SMTPUTF8", "BODY=8BITMIME") if is_international else ()
        self.sendmail(sender, [recipient], content, options)

    def mail(self, sender: str, options: Sequence[str] = ()) -> SmtpReply:
        """Name the sender."""
        return _by_first_digit(super().mail(sender, options))

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> SmtpReply:
        """Name the recipient."""
        return _by_first_digit(super().rcpt(recip, options))

    def data(self, msg: Any) -> SmtpReply:
        """Send the mail."""
        return _by_first_digit(super().data(msg))

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply and reject one that is too long."""
        if self.file is None and self.sock:
            self.file = self.sock.makefile("rb")
        reply = self.file
        self.file = BoundedReader(reply) if reply else None
        try:
            return super().getreply()
        finally:
            if self.file is not None:  # None: the connection was closed
                self.file = reply


def _by_first_digit(reply: SmtpReply) -> SmtpReply:
    code, text = reply
    return (250 if 200 <= code < 300 else code), text


class BoundedReader:
    """The lines of one reply, up to a limit in bytes."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._left = MAX_REPLY_BYTES

    def readline(self, size: int = -1) -> bytes:
        """Return the next line, as smtplib reads it from a file."""
        line = self._lines.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise smtplib.SMTPServerDisconnected("its answer has no end")
        if line and not line.endswith(b"\n") and not 0 <= size <= len(line):
            raise smtplib.SMTPServerDisconnected("its answer breaks off")
        return line

    def close(self) -> None:
        """Close the underlying file."""
        self._lines.close()


class TlsSmtpSession(SmtpSession, smtplib.SMTP_SSL):
    """An SMTP session that uses TLS from the first byte."""


def ssl_context_for(host: str) -> ssl.SSLContext:
    """Return the TLS context: certificates of known authorities, and any certificate on a loopback address."""
    context = ssl.create_default_context()
    if is_loopback(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Whether a host name or address is loopback."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(what: str, code: int, reply: bytes | str) -> Failure:
    codes = _codes(code, reply)
    text = f"the mail server refused {what} ({codes})"
    is_final = code >= 500 and code not in LOGIN_REPLY_CODES and not codes.endswith(QUOTA)
    return Permanent(text) if is_final else Transient(text)


def _codes(code: int, reply: bytes | str) -> str:
    enhanced = ENHANCED_CODE.match(reply.encode() if isinstance(reply, str) else reply)
    return f"{code} {enhanced[1].decode()}" if enhanced else str(code)
