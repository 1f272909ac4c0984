"""Mail headers, folded here because Python before 3.11.12 drops the quotes of a long name (CVE-2025-1795)."""

import re
import unicodedata
from email.header import Header
from email.headerregistry import Address
from email.policy import EmailPolicy

import idna

from worker.channels.text.message_text import MAX_NAME_LENGTH
from worker.channels.text.sanitize import one_line

MAILBOX = re.compile(r"(?P<local>[^\s\x00-\x20\x7f()<>\[\]@,;:\\\"]{1,64})@(?P<domain>[^\s@]{1,253})")
"""Accepted addresses: letters of any script, no quoted local parts, no comments."""
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOMAIN = re.compile(rf"(?:{LABEL}\.)*{LABEL}")
LONGEST_DOMAIN = 253
ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
"""Names that need no quotes (RFC 5322)."""
LINE_LENGTH = 76
"""Characters of a folded line."""
MAX_WORD_LENGTH = 60
"""A longer word does not fit beside the header's name, whose line would stay empty. Encoded, it is cut where needed."""


class FoldedHeader(str):
    """A header value with its line breaks. `EmailMessage` accepts any object that has a name and can fold."""

    name: str

    def fold(self, *, policy: EmailPolicy) -> str:
        """Return the complete header."""
        return f"{self.name}: {self}{policy.linesep}"


def plain_header(name: str, value: str) -> FoldedHeader:
    """Build a header whose value needs no folding."""
    header = FoldedHeader(value)
    header.name = name
    return header


def text_header(name: str, text: str) -> FoldedHeader:
    """Build a text header on one or more lines, the first of which is never empty."""
    is_foldable = all(len(word) <= MAX_WORD_LENGTH for word in text.split())
    charset = "us-ascii" if _is_plain(text) and is_foldable else "utf-8"
    return plain_header(name, Header(text, charset, LINE_LENGTH, name).encode(linesep="\r\n"))


def address_header(name: str, address: Address) -> FoldedHeader:
    """Build a header with one address. Nothing in the name can become another address."""
    phrase = _phrase(name, address.display_name)
    fits = len(phrase) + len(address.addr_spec) < LINE_LENGTH
    value = f"{phrase}{' ' if fits else chr(13) + chr(10) + ' '}<{address.addr_spec}>" if phrase else address.addr_spec
    return plain_header(name, value)


def mailbox(address: str, name: str = "") -> Address | None:
    """Parse one address, with its domain in ASCII; None if the text is not exactly one address.

    Args:
        address: an address as a person writes it, perhaps with blanks around it.
        name: display name; reduced to one line.
    """
    parts = MAILBOX.fullmatch(address.strip())
    domain = _ascii(parts["domain"]) if parts and parts["local"].isprintable() else None
    return Address(one_line(name, MAX_NAME_LENGTH), parts["local"], domain) if parts and domain else None


def _ascii(domain: str) -> str | None:
    """Encode a domain by IDNA 2008, which keeps `ß`; IDNA 2003 turned it into `ss`."""
    try:
        labels = [_ascii_label(label) for label in domain.split(".")]
    except (idna.IDNAError, UnicodeError):
        return None
    name = ".".join(labels)
    return name if DOMAIN.fullmatch(name) and len(name) <= LONGEST_DOMAIN else None


def _ascii_label(label: str) -> str:
    return label if label.isascii() else idna.alabel(unicodedata.normalize("NFC", label.lower())).decode()


def _phrase(header: str, name: str) -> str:
    """Encode a display name for use before an address (RFC 5322, RFC 2047)."""
    if not _is_plain(name):
        return Header(name, "utf-8", LINE_LENGTH, header).encode(linesep="\r\n")
    if ATOMS.fullmatch(name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'


def _is_plain(text: str) -> bool:
    """Whether the text needs no encoding: mail programs decode what looks encoded, even inside quotes."""
    return text.isascii() and "=?" not in text
