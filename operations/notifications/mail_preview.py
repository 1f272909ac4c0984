"""Preview of mails: each kind as a host would get it, with the platform's settings and templates. Nothing is sent."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from models.platform_user import PlatformUser
from operations.errors import OperationError
from operations.lookup import find_booking
from operations.redact import redact
from operations.text import printable
from runtime.private_files import FILE_MODE, make_private
from worker.channels import Message
from worker.channels.mail.branding import InvalidBranding, MailBranding
from worker.channels.mail.composer import SEVEN_BIT, MailComposer
from worker.channels.mail.headers import mailbox
from worker.channels.mail.reply_to import guest_to_reply_to
from worker.channels.mail.variables import LOGO_SOURCE
from worker.channels.text.message_text import MessageText
from worker.channels.text.samples import SAMPLE_RECIPIENT, sample_messages, variants
from worker.settings import MailSettings

SAMPLE_SENDER = "Bookings <bookings@platform.example>"
"""The sender of previews while MAIL_FROM is not set."""
PREVIEW_ID = "msg_preview"


@dataclass(frozen=True)
class MailPreview:
    """One mail as it would be sent.

    Attributes:
        name: its kind, or `handed_over`.
        headers: the headers that a mail program shows.
        text: the plain text.
        html: the HTML part, with the logo in it.
        ics: the calendar entry; None if it has none.
        eml: the complete mail.
    """

    name: str
    headers: Mapping[str, str]
    text: str
    html: str
    ics: str | None
    eml: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """Each form of the mail by its file name."""
        forms = {"txt": self.text.encode(), "html": self.html.encode(), "eml": self.eml}
        return {f"{self.name}.{form}": content for form, content in forms.items()} | (
            {f"{self.name}.ics": self.ics.encode()} if self.ics else {}
        )


def open_composer(settings: MailSettings) -> MailComposer:
    """Open the mail composer, with a sample sender while MAIL_FROM is not set.

    Raises:
        InvalidBranding: a setting cannot be used.
    """
    if not settings.mail_from:
        settings = settings.model_copy(update={"mail_from": SAMPLE_SENDER})
    try:
        return MailComposer.open(settings, is_personal=True)
    except InvalidBranding:
        raise
    except ValueError as error:
        raise InvalidBranding(str(error)) from None


def sample_mails(now: datetime, language: str | None, timezone: str | None) -> dict[str, Message]:
    """Return a sample of every kind by name, two days from now.

    Args:
        now: the time, UTC.
        language: the host's; English by default.
        timezone: the host's; Europe/Vienna by default.
    """
    return sample_messages(now, language or "en", timezone or "Europe/Vienna")


def booking_mails(session: Session, typed: str, language: str | None, timezone: str | None) -> dict[str, Message]:
    """Return a message of every kind about a real booking, by name.

    The change shown is the booking's last one of that kind, or a sample if it has none. Passwords in links are masked,
    as everywhere in the console.

    Args:
        session: the session.
        typed: the booking's id, or a prefix of it.
        language: replaces the host's.
        timezone: replaces the host's.

    Raises:
        OperationError: there is no such booking, or more than one.
    """
    booking = find_booking(session, typed)
    owner = session.get(PlatformUser, booking.platform_user_id) if booking.platform_user_id else None
    host = owner.to_dict() if owner else None
    if language or timezone:
        changes = {"language": language, "timezone": timezone}
        host = (host or {}) | {name: value for name, value in changes.items() if value}
    columns = redact({"id": booking.id, **booking.public_columns(), "revision": booking.revision})
    recipient = (owner and owner.email) or SAMPLE_RECIPIENT
    messages = variants(Message(PREVIEW_ID, "created", columns, None, host, recipient, booking.updated_at))
    return {
        name: replace(message, before=redact(_last_change(session, booking, name)) or message.before)
        for name, message in messages.items()
    }


def _last_change(session: Session, booking: Booking, kind: str) -> dict[str, object] | None:
    if kind not in ("rescheduled", "attendee_left"):
        return None
    changes = select(BookingChange.before).where(BookingChange.booking_id == booking.id, BookingChange.kind == kind)
    return session.scalars(changes.order_by(BookingChange.revision.desc()).limit(1)).one_or_none()


def render_previews(composer: MailComposer, messages: Mapping[str, Message], names: Sequence[str]) -> list[MailPreview]:
    """Render messages as mails.

    Args:
        composer: see `open_composer`.
        messages: by name.
        names: which of them to render; all if empty.

    Raises:
        OperationError: a template of the platform fails, or the recipient's address is malformed.
    """
    return [_render(composer, name, messages[name]) for name in names or messages]


def _render(composer: MailComposer, name: str, message: Message) -> MailPreview:
    # Messages without a host, and `updated` ones, go to a shared address only.
    composer = replace(composer, is_personal=bool(message.host) and message.kind != "updated")
    recipient = mailbox(message.recipient, (message.host or {}).get("name") or "" if composer.is_personal else "")
    if recipient is None:
        raise OperationError(f"the host's e-mail address is malformed: {printable(message.recipient)}")
    text = MessageText.render(message, is_personal=composer.is_personal)
    try:
        body = composer.templates.render_strictly(message, text)
    except Exception as error:
        raise OperationError(f"{name}: {composer.templates.explain(error)}") from error
    guest = guest_to_reply_to(message, recipient, composer.sender) if composer.replies_to_guest else None
    addresses: dict[str, Address | None] = {"From": composer.sender, "To": recipient, "Reply-To": guest}
    headers = {header: str(address) for header, address in addresses.items() if address}
    invite = composer.invite(message, recipient, text)
    return MailPreview(
        name,
        {**headers, "Subject": body.subject},
        body.text,
        body.html.replace(LOGO_SOURCE, _logo_data(composer.templates.branding)),
        invite.ics.decode() if invite else None,
        composer.assemble(message, recipient, text, body).as_bytes(policy=SEVEN_BIT.clone(utf8=True)),
    )


def _logo_data(branding: MailBranding) -> str:
    """Return the logo as a `data:` URL, since a standalone file has no parts for `cid:` to reference."""
    logo = branding.logo
    return f"data:image/{logo.subtype};base64,{base64.b64encode(logo.content).decode()}" if logo else LOGO_SOURCE


def write_previews(previews: Iterable[MailPreview], folder: Path) -> list[Path]:
    """Write every form of every mail into a folder, readable by its owner alone: a booking holds personal data.

    Raises:
        OperationError: the folder or a file cannot be written.
    """
    try:
        if not folder.exists():
            make_private(folder)
        return [
            _write(folder / name, content) for preview in previews for name, content in sorted(preview.files.items())
        ]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise OperationError(f"{printable(str(folder))} cannot be written: {reason}") from error


def _write(path: Path, content: bytes) -> Path:
    path.touch(FILE_MODE)
    path.write_bytes(content)
    return path
