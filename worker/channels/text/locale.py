"""The reader's locale: language, date format and time zone."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError

from worker.channels.text.translations import ENGLISH, GERMAN, Translation

UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True)
class ReaderLocale:
    """How to write for one reader.

    Attributes:
        locale: German or English, with a region.
        zone: the reader's time zone; UTC if unknown.
    """

    locale: Locale
    zone: ZoneInfo

    @classmethod
    def of(cls, host: dict[str, Any] | None) -> "ReaderLocale":
        """Return the locale of the booking's host; English and UTC if the booking has no owner."""
        known = host or {}
        return cls(_locale(str(known.get("language") or "en")), _zone(str(known.get("timezone") or "UTC")))

    @property
    def translation(self) -> Translation:
        """The translation in the reader's language."""
        return GERMAN if self.locale.language == "de" else ENGLISH


def _locale(language: str) -> Locale:
    """Parse a language tag. `de-AT` keeps its region ("Jänner"); any unsupported language becomes English."""
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
