"""Discretion: meetergo's words, without what must not reach a log."""

import re
from collections.abc import Iterator
from typing import Any

LONGEST = 300
PERSONAL = {
    *("email", "fullname", "firstname", "lastname", "givenName", "familyName", "phone", "notes", "reason"),
    *("bringalongEmails", "onlineProfiles"),
}
"""Fields of requests that hold people; an answer may quote them."""
SHORTEST_QUOTE = 2

TELLTALES = {
    "[key]": re.compile(r"ak_[a-z]+:\S+|rgo-\S+|Bearer \S+"),
    "[address]": re.compile(r"\bhttps?:\S+"),
    "[e-mail]": re.compile(r"[^\s<>\"'=:,;]+@[^\s<>\"',;]+"),
    "[number]": re.compile(r"\+\d[\d ()/.-]{5,}\d"),
}


def redact(text: str, sent: Any = None) -> str:
    """A line that may be logged: no key, address, e-mail, phone number, and none of the people that we sent.

    Args:
        text: what meetergo said.
        sent: the body of our request.
    """
    for quote in sorted(set(_people(sent)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(quote)}(?!\w)", "[person]", text, flags=re.IGNORECASE)
    for name, pattern in TELLTALES.items():
        text = pattern.sub(name, text)
    return " ".join(text.split())[:LONGEST]


def _people(sent: Any, *, is_personal: bool = False) -> Iterator[str]:
    if isinstance(sent, dict):
        for name, value in sent.items():
            yield from _people(value, is_personal=is_personal or name in PERSONAL)
    elif isinstance(sent, list | tuple):
        for value in sent:
            yield from _people(value, is_personal=is_personal)
    elif is_personal and isinstance(sent, str) and len(sent) >= SHORTEST_QUOTE:
        yield sent
