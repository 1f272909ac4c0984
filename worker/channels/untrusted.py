"""Untrusted text: what guests typed into a form, made fit for one line of a letter."""

import re
from typing import Any
from urllib.parse import urlsplit

LONGEST_LINE = 2000
"""Characters. Links to meetings run to several hundred."""

UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters that are no white space, those that turn the direction of writing, and lone surrogates."""


def one_line(value: Any, longest: int = LONGEST_LINE) -> str:
    """The text on one line, without what a reader cannot see; empty if there is none.

    Args:
        value: what should be text.
        longest: more characters than this are cut off.
    """
    text = " ".join(UNSEEN.sub("", str(value or "")).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def web_link(text: str) -> str | None:
    """The text, if it is a web address that may be clicked on; None for `javascript:` and everything else."""
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    is_web = url.scheme in ("http", "https") and bool(url.hostname)
    return text if is_web and not re.search(r"[\s\"'<>\\]", text) else None
