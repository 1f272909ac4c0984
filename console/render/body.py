"""A body as operators may see it: without its secrets."""

import json
from typing import Any

from rich.text import Text

from console.render.compact_json import compact
from console.render.tables import screen
from console.render.text import printable
from models.delivery import Delivery
from operations.redact import redact, redact_text
from operations.serialize import Json
from runtime.encryption import BodyCipher
from runtime.errors import Transient

SHOWN_BYTES, REDACTED_BYTES = 200, 2000
INDENT, MAX_WIDTH = "  ", 110


def decrypted_body(delivery: Delivery, cipher: BodyCipher) -> Json:
    """The body, or why there is none to show. One that is no JSON is shown by its beginning."""
    empty: Json = {"body": None, "body_begins": None, "body_is_missing": None}
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


def render(found: Json) -> Text:
    """The same for people."""
    if found["body_is_missing"]:
        return _indented(found["body_is_missing"])
    if found["body_begins"] is not None:
        return _indented(f"not JSON; it begins with: {found['body_begins']}")
    return render_json(found["body"])


def render_json(content: Any) -> Text:
    """JSON for people."""
    return _indented(compact(content, min(screen().width, MAX_WIDTH) - len(INDENT)))


def _indented(text: str) -> Text:
    return Text("\n".join(INDENT + printable(line) for line in text.split("\n")))
