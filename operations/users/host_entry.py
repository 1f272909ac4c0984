"""One validated host of an import file."""

import re
from typing import Annotated, Any
from unicodedata import normalize

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from meetergo.api import FirstMeetingTypeOptions, Hours
from models.platform_user import DEFAULT_TIMEZONE, find_zone
from operations.users.opening_hours import DEFAULT_HOURS, parse_hours
from worker.channels.mail.headers import mailbox

EMAIL_PATTERN = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")
LANGUAGE_PATTERN = re.compile(r"(?:de|en)(?:-[A-Z]{2})?")
CHANNEL_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
SPREADSHEET_ERROR = re.compile(r"#[A-ZÄÖÜ/]+[!?]?|#N/A")
SPREADSHEET_NUMBER = re.compile(r"\d+[.,]0+|\d+([.,]\d+)?E[+-]\d+", re.IGNORECASE)
"""How spreadsheets mangle a numeric id."""
SLUG_PATTERN = r"^[a-z0-9-]+$"


def _clean_text(text: str) -> str:
    """Clean a name or id to one line, and reject typical accidents of spreadsheets."""
    text = " ".join(text.split())
    if text.startswith(("=", "@")):
        raise ValueError(f"it begins with '{text[0]}': a formula is not read, write its value")
    if SPREADSHEET_ERROR.fullmatch(text):
        raise ValueError("it is a spreadsheet error")
    if not text.isprintable() or "\ufffd" in text or _is_garbled(text):
        raise ValueError("it is garbled: save the file as UTF-8 where it comes from")
    return normalize("NFC", text)


def _external_id(text: str) -> str:
    if SPREADSHEET_NUMBER.fullmatch(text):
        raise ValueError("a spreadsheet turned it into a number: format the column as text, and enter it again")
    return text


def _is_garbled(text: str) -> bool:
    """Whether text is UTF-8 that was decoded as Windows-1252: MÃ¼ller."""
    try:
        return not text.isascii() and text.encode("cp1252").decode("utf-8") != text
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False


def _email(text: str) -> str:
    if not EMAIL_PATTERN.fullmatch(text) or not mailbox(text):
        raise ValueError("it is not an e-mail address")
    return text


def _time_zone(text: str) -> str:
    if not find_zone(text):
        raise ValueError("it is not a time zone such as Europe/Berlin")
    return text


def _hours(text: str) -> str:
    parse_hours(text)
    return text


def _urls(value: Any) -> Any:
    return re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value


def _language(tag: str) -> str:
    tag = tag.replace("_", "-")
    if not LANGUAGE_PATTERN.fullmatch(tag):
        raise ValueError("a language is en or de, with a region if it is not the time zone's, such as en-GB or de-AT")
    return tag


def _channels(urls: list[str]) -> list[str]:
    if not all(CHANNEL_PATTERN.match(url) for url in urls):
        raise ValueError("a channel is a URL, such as mailto: or https://example.com/hook")
    return urls


CleanText = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_clean_text)]
Channels = Annotated[list[str], BeforeValidator(_urls), AfterValidator(_channels)]


class HostEntry(BaseModel):
    """One host. Attributes are named like the file's columns.

    Attributes:
        language: language of the host's notifications, perhaps with a region.
        slug: the host's part of booking URLs.
        meeting_duration: in minutes.
        meeting_channel: such as `phone` or `zoom`.
        hours: as `operations.users.opening_hours` reads them.
        channels: channels for the host's notifications; None for the defaults.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, coerce_numbers_to_str=True)

    external_id: Annotated[CleanText, AfterValidator(_external_id)]
    email: Annotated[str, Field(max_length=320), AfterValidator(_email)]
    given_name: CleanText
    family_name: CleanText
    timezone: Annotated[str, AfterValidator(_time_zone)] = DEFAULT_TIMEZONE
    language: Annotated[str, AfterValidator(_language)] = "en"
    slug: Annotated[str, Field(pattern=SLUG_PATTERN, min_length=5, max_length=100)] | None = None
    meeting_type: CleanText = "30min Meeting"
    meeting_duration: Annotated[int, Field(ge=5, le=480)] = 30
    meeting_slug: Annotated[str, Field(pattern=SLUG_PATTERN, max_length=100)] | None = None
    meeting_channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    hours: Annotated[str, AfterValidator(_hours)] = DEFAULT_HOURS
    channels: Channels | None = None

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.given_name} {self.family_name}"

    def opening_hours(self) -> Hours:
        """The opening hours in meetergo's form."""
        return Hours("Business Hours", self.timezone, parse_hours(self.hours))

    def first_meeting_type(self) -> FirstMeetingTypeOptions:
        """The first meeting type in meetergo's form."""
        return FirstMeetingTypeOptions(
            self.meeting_type, self.meeting_duration, self.meeting_slug, self.meeting_channel
        )


COLUMNS = list(HostEntry.model_fields)
REQUIRED_COLUMNS = [name for name, field in HostEntry.model_fields.items() if field.is_required()]
COLUMN_ALIASES = {
    "id": "external_id",
    "e_mail": "email",
    "first_name": "given_name",
    "last_name": "family_name",
    "time_zone": "timezone",
}
"""Alternative column names."""
