"""A body as operators may see it: without its secrets."""

import json
from typing import Any

from rich.text import Text

from console.render.compact_json import compact
from console.render.tables import screen
from console.render.text import printable
from models.delivery import Delivery
from operations.redact import masked, masked_text
from operations.serialize import Json
from runtime.encryption import BodyCipher
from runtime.errors import Transient

FIRST_BYTES, AND_SOME = 200, 2000
INDENT, WIDEST = "  ", 110


def read(delivery: Delivery, vault: BodyCipher) -> Json:
    """The body, or why there is none to show. One that is no JSON is shown by its beginning."""
    blank: Json = {"body": None, "body_begins": None, "body_is_missing": None}
    if not delivery.body:
        return {**blank, "body_is_missing": "it was erased"}
    try:
        body = vault.open(delivery.sealed)
    except Transient as error:
        return {**blank, "body_is_missing": str(error)}
    try:
        return {**blank, "body": masked(json.loads(body))}
    except (ValueError, RecursionError):
        beginning = masked_text(body[:AND_SOME].decode("latin-1")).encode("latin-1")[:FIRST_BYTES]
        return {**blank, "body_begins": repr(beginning)[2:-1]}


def sheet(found: Json) -> Text:
    """The same for people."""
    if found["body_is_missing"]:
        return _indented(found["body_is_missing"])
    if found["body_begins"] is not None:
        return _indented(f"not JSON; it begins with: {found['body_begins']}")
    return json_sheet(found["body"])


def json_sheet(content: Any) -> Text:
    """JSON for people."""
    return _indented(compact(content, min(screen().width, WIDEST) - len(INDENT)))


def _indented(text: str) -> Text:
    return Text("\n".join(INDENT + printable(line) for line in text.split("\n")))
