"""Render JSON, such as a delivery's redacted body."""

import json
from typing import Any

from rich.text import Text

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


def compact(content: Any, width: int, indent: str = "", before: str = "") -> str:
    """Format a value as JSON, where what fits into a line stays on one line.

    Args:
        content: the value.
        width: maximum line length, unless a single value is longer.
        indent: indentation of the current line.
        before: text already on the current line.
    """
    line = json.dumps(content, ensure_ascii=False)
    if len(indent + before + line) < width or not content or not isinstance(content, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(content, list):
        items = [compact(item, width, deeper) for item in content]
    else:
        names = {name: f"{json.dumps(name, ensure_ascii=False)}: " for name in content}
        items = [names[name] + compact(item, width, deeper, names[name]) for name, item in content.items()]
    begin, end = "[]" if isinstance(content, list) else "{}"
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{end}"


def _indented(text: str) -> Text:
    return Text("\n".join(INDENT + printable(line) for line in text.split("\n")))
