"""Wording: numbers, values and other people's text as the console prints them."""

import json
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape

TIMES = ("starts_at", "ends_at", "as_of")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def count(number: int, one: str, many: str = "") -> str:
    """The number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def safe(text: str) -> str:
    """Text of others as it may be printed: it can neither style our output nor steer the terminal."""
    return escape("".join(letter if letter.isprintable() else REPLACEMENT for letter in text))


def shown(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Two values of a booking's column, short; in full if they look alike otherwise."""
    short = _short(name, before), _short(name, after)
    return short if short[0] != short[1] else (_full(before), _full(after))


def _short(name: str, value: Any) -> str:
    if value in (None, "", [], {}):
        return "-"
    if name in TIMES:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    if name == "attendees":
        return ", ".join(map(_person, value))
    return ", ".join(map(str, value)) if name == "host_ids" else _full(value)


def _person(person: dict[str, Any]) -> str:
    name = person.get("fullname") or " ".join(filter(None, (person.get("firstname"), person.get("lastname"))))
    email = person.get("email")
    return f"{name} <{email}>" if name and email else str(name or email or person.get("id", "?"))


def _full(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
