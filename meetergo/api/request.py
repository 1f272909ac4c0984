"""A request to meetergo, before it is sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meetergo.api.credential import Impersonation
from meetergo.api.errors import InvalidCall

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,255}")

Query = Mapping[str, str | int | Sequence[str] | None]


def identifier(value: str | int, what: str) -> str:
    """An id as it may stand in a path or a header. meetergo answers 500 to others.

    Raises:
        InvalidCall: it is more than letters, digits, `-` and `_`.
    """
    text = str(value)
    if not IDENTIFIER.fullmatch(text):
        raise InvalidCall(f"this is no id of a {what}: an id is 1 to 255 letters, digits, '-' or '_'")
    return text


@dataclass(frozen=True)
class Request:
    """What to ask.

    Attributes:
        method: the HTTP method; GET alone is a read.
        path: from the host's root, ids checked.
        query: repeated for each item of a list; None leaves a name away.
        body: sent as JSON.
        is_form: sends the body as multipart/form-data instead, each value that is no text as JSON.
        user_id: whom to act as.
        impersonation: whether this route takes a user to act as.
        takes_a_slot: a conflict means that the time is not free any more.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    is_form: bool = False
    user_id: str | None = None
    impersonation: Impersonation = "required"
    takes_a_slot: bool = False

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing, however often it is sent."""
        return self.method == "GET"

    @property
    def name(self) -> str:
        """How messages and logs name it: without the query."""
        return f"{self.method} {self.path}"
