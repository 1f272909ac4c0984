"""Redaction: remove from meetergo's messages what must not reach a log."""

import re
from collections.abc import Iterator
from typing import Any

MAX_LENGTH = 300
PERSONAL = {
    *("email", "fullname", "firstname", "lastname", "givenName", "familyName", "phone", "notes", "reason"),
    *("bringalongEmails", "onlineProfiles"),
}
"""Request fields with personal data, which a response may quote."""
MIN_QUOTE_LENGTH = 2

PATTERNS = {
    "[key]": re.compile(r"ak_[a-z]+:\S+|rgo-\S+|Bearer \S+"),
    "[address]": re.compile(r"\bhttps?:\S+"),
    "[e-mail]": re.compile(r"[^\s<>\"'=:,;]+@[^\s<>\"',;]+"),
    "[number]": re.compile(r"\+\d[\d ()/.-]{5,}\d"),
}


def redact(text: str, sent: Any = None) -> str:
    """Return a line that is safe to log and to print: without secrets, personal data and control characters.

    Args:
        text: meetergo's message.
        sent: the request body.
    """
    for quote in sorted(set(_personal_values(sent)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(quote)}(?!\w)", "[person]", text, flags=re.IGNORECASE)
    for name, pattern in PATTERNS.items():
        text = pattern.sub(name, text)
    line = " ".join(text.split())[:MAX_LENGTH]
    return line if line.isprintable() else "".join(filter(str.isprintable, line))


def _personal_values(sent: Any, *, is_personal: bool = False) -> Iterator[str]:
    if isinstance(sent, dict):
        for name, value in sent.items():
            yield from _personal_values(value, is_personal=is_personal or name in PERSONAL)
    elif isinstance(sent, list | tuple):
        for value in sent:
            yield from _personal_values(value, is_personal=is_personal)
    elif is_personal and isinstance(sent, str) and len(sent) >= MIN_QUOTE_LENGTH:
        yield sent
