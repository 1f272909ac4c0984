"""Compact JSON: what fits into a line stays on one line."""

import json
from typing import Any


def compact(content: Any, width: int, indent: str = "", before: str = "") -> str:
    """Format a value as JSON.

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
