"""Answers: what the API says in JSON, and how a 429 tells how long to wait."""

import json
import math
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from werkzeug.wrappers import Response

from devtools.sandbox.http.errors import ApiRejection


def answered(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")


def empty(status: int = 204) -> Response:
    """An answer without a body."""
    answer = Response(status=status)
    answer.headers.remove("Content-Type")
    return answer


def refusal(refused: ApiRejection) -> Response:
    """An error."""
    return answered(refused.body, refused.status)


def too_many(wait: timedelta, form: str, now: datetime) -> Response:
    """A 429.

    Args:
        wait: how long, at least.
        form: of Retry-After, which is documented nowhere: `seconds`, `date` or `none`.
        now: the time.
    """
    answer = refusal(ApiRejection(429, "Too Many Requests"))
    if form == "seconds":
        answer.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    elif form == "date":
        answer.headers["Retry-After"] = format_datetime(now + wait + timedelta(seconds=1), usegmt=True)
    return answer
