"""Compact JSON: what fits into a line stays on one line, as a person would write it."""

import json
from typing import Any


def compact(content: Any, width: int, indent: str = "", before: str = "") -> str:
    """JSON text.

    Args:
        content: what to write.
        width: how long a line may be, unless a single value is longer.
        indent: of the line that it begins in.
        before: what is in that line already.
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
