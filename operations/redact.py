"""Redaction: secrets quoted in a body or an error are never shown, not even to operators."""

import json
import re
from typing import Any

from models.delivery import Delivery
from runtime.encryption import BodyCipher
from runtime.errors import Transient

MASK = "***"
SHOWN_BYTES, REDACTED_BYTES = 200, 2000

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


def redact(content: Any) -> Any:
    """Replace every secret in a JSON value, at any depth."""
    if isinstance(content, dict):
        return {name: MASK if _is_secret(name, item) else redact(item) for name, item in content.items()}
    if isinstance(content, list):
        return [redact(item) for item in content]
    return redact_text(content) if isinstance(content, str) else content


def redact_text(text: str) -> str:
    """Replace secrets such as `token=...` and `"secret": "..."` in text, for example in a URL or in broken JSON."""
    return SECRET_IN_TEXT.sub(lambda found: found["name"] + MASK, text)


def _is_secret(name: str, content: Any) -> bool:
    return content not in (None, "") and bool(SECRET_NAME.search(name))


def decrypted_body(delivery: Delivery, cipher: BodyCipher) -> dict[str, Any]:
    """Return the body, or why it cannot be shown. A body that is not JSON is shown by its beginning."""
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
