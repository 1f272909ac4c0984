"""Sanitise what guests typed into a form: fit for one line of a message, and for chats that read markup."""

import re
from typing import Any
from urllib.parse import urlsplit

MAX_LINE_LENGTH = 2000
"""Characters. Links to meetings run to several hundred."""

INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters that are no white space, those that turn the direction of writing, and lone surrogates."""

ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"
"""Nobody sees it, and what it parts is no link, no mention and no command any more."""
EMAIL = re.compile(r"[^\s@/:<>()\[\]]+@[\w.-]+[,;.]?")
LINK = re.compile(r"(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d_]{2})")
"""Inside of a scheme, and before what may be a top-level domain: chats and mail programs make links of both."""
LOOKALIKES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "*": "\N{ASTERISK OPERATOR}",
        "`": "\N{MODIFIER LETTER GRAVE ACCENT}",
        "~": "\N{TILDE OPERATOR}",
        "|": "\N{BROKEN BAR}",
        "[": "\N{FULLWIDTH LEFT SQUARE BRACKET}",
        "]": "\N{FULLWIDTH RIGHT SQUARE BRACKET}",
        "\\": "\N{FULLWIDTH REVERSE SOLIDUS}",
        "#": "\N{FULLWIDTH NUMBER SIGN}",
        "$": "\N{FULLWIDTH DOLLAR SIGN}",
    }
)
"""What marks up in one chat or another. A backslash before it would be shown where it does not."""
OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""Within a word it marks nothing up."""
MENTION_OR_COMMAND = re.compile(
    r"@(?=(?:everyone|here|channel|all|room|online)\b)|(?<![\w.+-])@|(?<!\S)/(?=\w)|&(?=#?\w+;)|:(?=[A-Za-z][\w+-]*:)",
    re.IGNORECASE,
)
"""Mentions, of all also within a word; commands, entities and emoji."""
UNSAFE_IN_LINK = re.compile(r"[*`~|\[\]()!@$]|(?<![^\W_])_|_(?![^\W_])")


def one_line(value: Any, max_length: int = MAX_LINE_LENGTH) -> str:
    """The text on one line, without what a reader cannot see; empty if there is none.

    Args:
        value: what should be text.
        max_length: more characters than this are cut off.
    """
    text = " ".join(INVISIBLE.sub("", str(value or "")).split())
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def break_links(text: str) -> str:
    """The text, of which nothing becomes a link by itself. E-mail addresses stay as they are, to be copied."""
    return re.sub(
        r"\S+", lambda word: word[0] if EMAIL.fullmatch(word[0]) else LINK.sub(ZERO_WIDTH_SPACE, word[0]), text
    )


def escape_markup(text: str, link: str | None = None) -> str:
    """The text as a chat shows it when nothing in it is markup, a link, a mention or a command.

    Args:
        text: one line or several.
        link: what may be clicked on, if it stands in the text.
    """
    if link and link in text:
        shown = UNSAFE_IN_LINK.sub(lambda found: f"%{ord(found[0]):02X}", link)
        return shown.join(map(escape_markup, text.split(link)))
    plain = OUTER_UNDERSCORE.sub("\N{FULLWIDTH LOW LINE}", text.translate(LOOKALIKES))
    return break_links(MENTION_OR_COMMAND.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, plain))


def safe_link(text: str) -> str | None:
    """The text, if it is a web address that may be clicked on; None for `javascript:` and everything else.

    An address with a user in it shows another host than it leads to.
    """
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    is_web = url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc
    return text if is_web and not re.search(r"[\s\"'<>\\]", text) else None
