"""The reader of a letter: which language, which way to write a date, which time zone."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError

from worker.channels.translations import ENGLISH, GERMAN, Translation

UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class ReaderLocale:
    """Who reads it.

    Attributes:
        locale: German or English, of some country.
        zone: the reader's time zone; UTC if we do not know it.
    """

    locale: Locale
    zone: ZoneInfo

    @classmethod
    def of(cls, host: dict[str, Any] | None) -> "ReaderLocale":
        """The booking's host; somebody who reads English in UTC if nobody owns it."""
        known = host or {}
        return cls(_locale(str(known.get("language") or "en")), _zone(str(known.get("timezone") or "UTC")))

    @property
    def translation(self) -> Translation:
        """The sentences in the reader's language."""
        return GERMAN if self.locale.language == "de" else ENGLISH


def _locale(language: str) -> Locale:
    """`de-AT` keeps its Jänner; a language that we do not write becomes English."""
    plain = Locale("de" if language.lower().startswith("de") else "en")
    try:
        locale = Locale.parse(language.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError):
        return plain
    return locale if locale.language == plain.language else plain


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # OSError: "Europe" is a directory
        return UTC_ZONE
