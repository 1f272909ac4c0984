"""The Reply-To of a mail: the guest, if the mail is about exactly one."""

import re
from email.headerregistry import Address

from worker.channels.base import Message
from worker.channels.mail.headers import mailbox
from worker.channels.text.attendee import MessageAttendee
from worker.channels.text.message_text import departed_guests

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL_PART = re.compile(rf"{ATOM}(?:\.{ATOM})*")
"""A dot-atom (RFC 5322), which every mail server accepts: a guest's address must not stop the mail to the host."""
DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+(?!\d+$)[A-Za-z0-9-]{2,}")
MAX_ADDRESS_LENGTH = 254


def guest_to_reply_to(message: Message, *others: Address) -> Address | None:
    """Return the address of the only guest of a message; None if there are several, or it is not a safe address.

    Args:
        message: the message.
        others: recipient and sender: replying to either of them would reach no guest.
    """
    guests = [*MessageAttendee.parse_all(message.booking.get("attendees")), *departed_guests(message)]
    if len(guests) != 1:
        return None
    [guest] = guests
    # A name that holds an address would be shown in place of the real one.
    address = mailbox(guest.email, "" if "@" in guest.name else guest.name)
    if not address or len(address.addr_spec) > MAX_ADDRESS_LENGTH:
        return None
    if not LOCAL_PART.fullmatch(address.username) or not DOMAIN.fullmatch(address.domain):
        return None
    is_other = address.addr_spec.lower() in {other.addr_spec.lower() for other in others}
    return None if is_other else address
