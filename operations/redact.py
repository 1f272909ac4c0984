"""Redaction: secrets quoted in a body or an error are never shown, not even to operators."""

import json
import re
from typing import Any

from models.delivery import Delivery
from runtime.encryption import BodyCipher
from runtime.errors import Transient

MASK = "***"
TOO_DEEP = "…"
SHOWN_BYTES, REDACTED_BYTES = 200, 2000
MAX_SHOWN_NESTING = 100
"""Levels of a JSON value that are shown. Deeper ones would exceed what a page's template can recurse."""

SECRET_NAME = re.compile(
    r"secret|token|passw(?:or)?d|passphrase|pwd|api[-_]?key|private[-_]?key|credential|authorization", re.IGNORECASE
)
"""Parts of names whose values are secret. `pwd` is the password in links to video calls."""

VALUE_PATTERNS = (
    r'"(?:[^"\\]|\\.)*"?',
    r'\\"(?:[^"\\]|\\[^"])*(?:\\")?',
    r"'[^']*'?",
    r"%22.*?(?:%22|$)",
    r"[\[{].*",
    r"(?:(?:bearer|basic)\s+)?[^\s\"'&,;#}\]]+",
)
SECRET_IN_TEXT = re.compile(
    rf"""(?P<name>(?:{SECRET_NAME.pattern})[\w-]{{0,40}}(?:\\?["']|%22)?\s{{0,8}}(?:[:=]|%3A|%3D)\s{{0,8}})(?:{"|".join(VALUE_PATTERNS)})""",
    re.IGNORECASE | re.DOTALL,
)
"""A name and its value in any style of quotes. Bounded, since the text is untrusted."""


MASKED = "•••"
SHOWN_NAMES = frozenset(
    """actionAt actionSource appointmentId as_of attempts availabilityId booking_id bookingId bookingType
    bufferBefore cancelledAt canceledAt cancelled_at changes channel companyId createdAt created_at date
    dayOfWeek deletedAt duration earliestAvailableDate end endTime ends_at event eventType eventTypes formId
    from host_ids hostId hostIds id isCancelled isGroup isRecurring kind language meetingName meetingTypeId
    meeting_name meeting_type_id news newStart newEnd oldEndDate oldStartDate platform_user_id previousEnd
    previousStart provisionalBookingId queueId rescheduledAt revision scheduledAt spots start startTime
    starts_at status submissionId takenSpots templateType timeZone timezone to totalSpots type updatedAt
    updated_at userId userType version webhookId webhookType""".split()  # noqa: SIM905 - a list would take fifty more lines
)
"""Names whose values are not personal data. All others are masked, including names that meetergo adds later."""
MAX_SHOWN_VALUE = 100
EMAIL = re.compile(r"[^\s@<>\"'(),;:]{1,100}@([^\s@<>\"'(),;:]{1,200})")
PHONE = re.compile(r"(?<![\w+-])(?:\+|00)\d[\d ()/.-]{5,18}\d")
QUOTED = re.compile(r"""(['"])([^'"]{1,300})\1""")


def mask_people(content: Any, name: str = "") -> Any:
    """Mask personal data in a JSON value, at any depth: only values of SHOWN_NAMES stay, without secrets.

    Args:
        content: the value.
        name: its name, or that of the enclosing list.
    """
    if isinstance(content, dict):
        return {key: mask_people(item, str(key)) for key, item in content.items()}
    if isinstance(content, list):
        return [mask_people(item, name) for item in content]
    if content is None or content == "" or isinstance(content, bool):
        return content
    is_shown = name in SHOWN_NAMES and len(str(content)) <= MAX_SHOWN_VALUE and not EMAIL.search(str(content))
    return redact(content) if is_shown else MASKED


def mask_text(text: str) -> str:
    """Mask e-mail addresses, phone numbers, quoted phrases and secrets in an error."""
    masked = redact_text(text)
    if "@" in masked:  # to search a long text that has none takes milliseconds
        masked = EMAIL.sub(lambda found: f"{MASKED}@{found[1]}", masked)
    return QUOTED.sub(_mask_words, PHONE.sub(MASKED, masked))


def _mask_words(quoted: re.Match[str]) -> str:
    """Mask a quoted phrase, which may be a name or a message; a single word is usually an identifier."""
    return f"{quoted[1]}{MASKED}{quoted[1]}" if re.search(r"\s", quoted[2]) else quoted[0]


def redact(content: Any, levels: int = MAX_SHOWN_NESTING) -> Any:
    """Replace every secret in a JSON value, and what nests deeper than `levels`."""
    if isinstance(content, dict | list) and not levels:
        return TOO_DEEP
    if isinstance(content, dict):
        return {name: MASK if _is_secret(name, item) else redact(item, levels - 1) for name, item in content.items()}
    if isinstance(content, list):
        return [redact(item, levels - 1) for item in content]
    return redact_text(content) if isinstance(content, str) else content


def redact_text(text: str) -> str:
    """Replace secrets such as `token=...` and `"secret": "..."` in text, for example in a URL or in broken JSON."""
    return SECRET_IN_TEXT.sub(lambda found: found["name"] + MASK, text)


def _is_secret(name: str, content: Any) -> bool:
    return content not in (None, "") and bool(SECRET_NAME.search(name))


def decrypted_body(delivery: Delivery, cipher: BodyCipher) -> dict[str, Any]:
    """Return the redacted body, or why it cannot be shown. Of a body that is not JSON, return the beginning."""
    empty: dict[str, Any] = {"body": None, "body_begins": None, "body_is_missing": None}
    if not delivery.body:
        return {**empty, "body_is_missing": "it was erased"}
    try:
        body = cipher.decrypt(delivery.encrypted_body)
    except Transient as error:
        return {**empty, "body_is_missing": str(error)}
    try:
        return {**empty, "body": redact(json.loads(body))}
    except (ValueError, RecursionError):
        beginning = redact_text(body[:REDACTED_BYTES].decode("latin-1")).encode("latin-1")[:SHOWN_BYTES]
        return {**empty, "body_begins": repr(beginning)[2:-1]}
