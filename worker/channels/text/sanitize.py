"""Sanitise what guests typed into a form: fit for one line of a message, and for chats that read markup."""

import re
from typing import Any
from urllib.parse import urlsplit

MAX_LINE_LENGTH = 2000
"""Maximum length of a line, in characters. Meeting links run to several hundred."""

INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters except white space, bidirectional overrides, and lone surrogates."""

ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"
"""Invisible; it breaks up links, mentions and commands so that no program recognises them."""
EMAIL = re.compile(r"[^\s@/:<>()\[\]]+@[\w.-]+[,;.]?")
LINK = re.compile(r"(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d_]{2})")
"""Positions in a scheme and before a possible top-level domain: chats and mail programs turn both into links."""
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
"""Characters that are markup in at least one chat. A chat without that markup would show an escaping backslash."""
OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore at the edge of a word. Within a word it is not markup."""
MENTION_OR_COMMAND = re.compile(
    r"@(?=(?:everyone|here|channel|all|room|online)\b)|(?<![\w.+-])@|(?<!\S)/(?=\w)|&(?=#?\w+;)|:(?=[A-Za-z][\w+-]*:)",
    re.IGNORECASE,
)
"""Mentions (of everyone also within a word), commands, entities and emoji."""
UNSAFE_IN_LINK = re.compile(r"[*`~|\[\]()!@$]|(?<![^\W_])_|_(?![^\W_])")


def one_line(value: Any, max_length: int = MAX_LINE_LENGTH) -> str:
    """Return the text on one line, without invisible characters; empty if there is none.

    Args:
        value: the text; any other value is converted.
        max_length: maximum number of characters; the rest is cut off.
    """
    text = " ".join(INVISIBLE.sub("", str(value or "")).split())
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def break_links(text: str) -> str:
    """Prevent programs from linking parts of the text. E-mail addresses stay intact so that they can be copied."""
    return re.sub(
        r"\S+", lambda word: word[0] if EMAIL.fullmatch(word[0]) else LINK.sub(ZERO_WIDTH_SPACE, word[0]), text
    )


def escape_markup(text: str, link: str | None = None) -> str:
    """Escape text so that a chat shows no markup, link, mention or command in it.

    Args:
        text: one or more lines.
        link: a URL in the text that stays clickable.
    """
    if link and link in text:
        shown = UNSAFE_IN_LINK.sub(lambda found: f"%{ord(found[0]):02X}", link)
        return shown.join(map(escape_markup, text.split(link)))
    plain = OUTER_UNDERSCORE.sub("\N{FULLWIDTH LOW LINE}", text.translate(LOOKALIKES))
    return break_links(MENTION_OR_COMMAND.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, plain))


def safe_link(text: str) -> str | None:
    """Return the text if it is a web address that is safe to click; None for `javascript:` and everything else.

    An address with a user name is rejected, because it can look like a different host.
    """
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    is_web = url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc
    return text if is_web and not re.search(r"[\s\"'<>\\]", text) else None
