"""Render a delivery's redacted body."""

from typing import Any

from rich.text import Text

from console.render.compact_json import compact
from console.render.tables import screen
from operations.serialize import Json
from operations.text import printable

INDENT, MAX_WIDTH = "  ", 110


def render(found: Json) -> Text:
    """Render the body for people."""
    if found["body_is_missing"]:
        return _indented(found["body_is_missing"])
    if found["body_begins"] is not None:
        return _indented(f"not JSON; it begins with: {found['body_begins']}")
    return render_json(found["body"])


def render_json(content: Any) -> Text:
    """Render JSON for people."""
    return _indented(compact(content, min(screen().width, MAX_WIDTH) - len(INDENT)))


def _indented(text: str) -> Text:
    return Text("\n".join(INDENT + printable(line) for line in text.split("\n")))
