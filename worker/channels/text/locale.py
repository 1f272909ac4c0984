"""The reader's locale: language, region, clock and time zone."""

import re
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global, parse_locale

from models.platform_user import find_zone
from worker.channels.text.translations import ENGLISH, GERMAN, Translation

UTC_ZONE = ZoneInfo("UTC")
COUNTRY = re.compile(r"(?!ZZ)[A-Z]{2}")
"""A country's code. CLDR's other regions are ZZ, for zones such as UTC, and numbers, such as 001 for the world."""
INTERNATIONAL_ENGLISH = "en_001"
"""English with the day before the month, for countries that have no English of their own in CLDR."""

Clock = Literal["Hm", "hm"]
"""CLDR's skeleton of a time of day, with 24 or with 12 hours."""


@dataclass(frozen=True)
class ReaderLocale:
    """How to write for one reader.

    Attributes:
        locale: German or English, with a region.
        clock: whether times have 24 or 12 hours.
        zone: the reader's time zone; UTC if unknown.
        is_zone_unknown: whether a time zone is set that does not exist.
    """

    locale: Locale
    clock: Clock
    zone: ZoneInfo
    is_zone_unknown: bool = False

    @classmethod
    def of(cls, host: dict[str, Any] | None) -> "ReaderLocale":
        """Return the locale of the booking's host; American English and UTC if the booking has no owner.

        The region is that of the language (`en-GB`), else that of the time zone: `en` in Europe/Vienna is read as
        `en-AT`, with 24 hours.
        """
        known = host or {}
        language, name = str(known.get("language") or "en"), str(known.get("timezone") or "UTC")
        zone = find_zone(name)
        regions = (_region_of_language(language), _region_of_zone(zone or UTC_ZONE))
        locale, clock = _locale("de" if language.lower().startswith("de") else "en", *regions)
        return cls(locale, clock, zone or UTC_ZONE, is_zone_unknown=zone is None)

    @property
    def translation(self) -> Translation:
        """The translation in the reader's language."""
        return GERMAN if self.locale.language == "de" else ENGLISH


def _region_of_language(tag: str) -> str | None:
    try:
        return parse_locale(tag.replace("_", "-"), sep="-")[1]
    except ValueError:
        return None


def _region_of_zone(zone: ZoneInfo) -> str | None:
    name = get_global("zone_aliases").get(zone.key, zone.key)
    return get_global("zone_territories").get(name)


def _locale(language: str, *regions: str | None) -> tuple[Locale, Clock]:
    """Return the locale and clock of the first region that exists."""
    plain = Locale(language)
    for region in regions:
        if region and COUNTRY.fullmatch(region) and region in plain.territories:
            found = _find(f"{language}_{region}")
            if found or language == "de":
                return found or plain, _clock(found or plain)
            # The clock is a habit of the region, whatever the language.
            return Locale.parse(INTERNATIONAL_ENGLISH), _clock(_find(f"und_{region}") or plain)
    return plain, _clock(plain)


def _find(name: str) -> Locale | None:
    try:
        return Locale.parse(name)
    except (ValueError, UnknownLocaleError):
        return None


def _clock(locale: Locale) -> Clock:
    return "hm" if "a" in locale.time_formats["short"].pattern else "Hm"
