"""Requests to meetergo."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meetergo.api.credential import Impersonation
from meetergo.api.errors import InvalidCall

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,255}")

Query = Mapping[str, str | int | Sequence[str] | None]


def identifier(value: str | int, what: str) -> str:
    """Check that an id is safe in a path or a header. meetergo answers 500 to others.

    Raises:
        InvalidCall: it holds other characters than letters, digits, `-` and `_`.
    """
    text = str(value)
    if not IDENTIFIER.fullmatch(text):
        raise InvalidCall(f"this is not the id of a {what}: an id is 1 to 255 letters, digits, '-' or '_'")
    return text


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        method: the HTTP method; only GET is a read.
        path: path from the host's root; ids are already checked.
        query: parameters; a list repeats the name, None omits it.
        body: sent as JSON.
        is_form: whether to send the body as multipart/form-data, with non-text values as JSON.
        user_id: user to act as.
        impersonation: whether this route accepts a user to act as.
        takes_a_slot: whether a conflict means that the slot is no longer free.
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
        """Whether the request changes nothing, so that it is safe to repeat."""
        return self.method == "GET"

    @property
    def name(self) -> str:
        """The name in messages and logs: without the query."""
        return f"{self.method} {self.path}"
