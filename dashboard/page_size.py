"""The size of a page: one whose texts are long shows fewer rows than usual."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, g

MAX_PAGE_BYTES = 60_000
ROOM = 0.9
"""Share of MAX_PAGE_BYTES that a page aims at once it was too large: its rows are not equally long."""
SMALLEST_SHARE = 0.01
"""With fewer rows, a page would be no smaller: each list has one."""

P = ParamSpec("P")


def most_rows(usual: int) -> int:
    """Return the maximum number of rows that this page shows of a list: the usual one, unless they do not fit."""
    return max(1, int(usual * _share()))


def fit(view: Callable[P, Response]) -> Callable[P, Response]:
    """Render again, with fewer rows, while a page is larger than MAX_PAGE_BYTES.

    Args:
        view: renders a page without side effects, and asks `most_rows` for the length of its lists.
    """

    @wraps(view)
    def fitting(*args: P.args, **kwargs: P.kwargs) -> Response:
        response = view(*args, **kwargs)
        while (size := len(response.get_data())) > MAX_PAGE_BYTES and _share() > SMALLEST_SHARE:
            g.share_of_rows = _share() * ROOM * MAX_PAGE_BYTES / size
            response = view(*args, **kwargs)
        return response

    return fitting


def _share() -> float:
    share: float = g.get("share_of_rows", 1.0)
    return share
