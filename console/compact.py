"""Compact JSON: what fits into a line stays on one line, as a person would write it."""

import json
from typing import Any

WIDTH = 76


def compact(content: Any, indent: str = "", before: str = "") -> str:
    """JSON text.

    Args:
        content: what to write.
        indent: of the line that it begins in.
        before: what is in that line already.
    """
    line = json.dumps(content, ensure_ascii=False)
    if len(indent) + len(before) + len(line) <= WIDTH or not content or not isinstance(content, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(content, list):
        items = [compact(item, deeper) for item in content]
    else:
        names = {name: f"{json.dumps(name, ensure_ascii=False)}: " for name in content}
        items = [names[name] + compact(item, deeper, names[name]) for name, item in content.items()]
    begin, end = "[]" if isinstance(content, list) else "{}"
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{end}"
