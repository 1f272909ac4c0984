"""English and German. English is in the code and is the key; German is in `german/*.json`."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from flask import g, request

Language = Literal["en", "de"]
LANGUAGES: dict[Language, str] = {"en": "English", "de": "Deutsch"}
LANGUAGE_COOKIE = "language"
GERMAN = Path(__file__).parent / "german"


def N_(text: str) -> str:  # noqa: N802 - gettext's own name
    """Mark a text that `_` translates later."""
    return text


def _(text: str, **values: object) -> str:
    """Translate a text into the reader's language and fill in `%(name)s`."""
    translated = german().get(text, text) if language() == "de" else text
    found = translated if isinstance(translated, str) else translated[0]
    return found % values if values else found


def ngettext(singular: str, plural: str, number: int, **values: object) -> str:
    """Translate a text with a number, `%(num)s`; 1 takes the singular."""
    forms: Any = german().get(singular, (singular, plural)) if language() == "de" else (singular, plural)
    return str(forms[0 if number == 1 else 1]) % {"num": integer(number), **values}


def integer(number: int) -> str:
    """Format a number with thousands separators."""
    return f"{number:,}".replace(",", "." if language() == "de" else ",")


def language() -> Language:
    """Return the reader's language: the chosen one, else the browser's preference."""
    if "language" not in g:
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        g.language = chosen if chosen in LANGUAGES else request.accept_languages.best_match([*LANGUAGES]) or "en"
    found: Language = g.language
    return found


@cache
def german() -> Mapping[str, str | list[str]]:
    """Return all German translations; of a text with a number, the singular and the plural."""
    texts: dict[str, str | list[str]] = {}
    for file in sorted(GERMAN.glob("*.json")):
        texts |= json.loads(file.read_text())
    return texts
