"""Answers: what the API says in JSON, and how a 429 tells how long to wait."""

import json
import math
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from werkzeug.wrappers import Response

from devtools.sandbox.http.errors import ApiRejection


def json_response(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")


def empty(status: int = 204) -> Response:
    """An answer without a body."""
    response = Response(status=status)
    response.headers.remove("Content-Type")
    return response


def error_response(error: ApiRejection) -> Response:
    """An error."""
    return json_response(error.body, error.status)


def too_many_requests(wait: timedelta, form: str, now: datetime) -> Response:
    """A 429.

    Args:
        wait: how long, at least.
        form: of Retry-After, which is documented nowhere: `seconds`, `date` or `none`.
        now: the time.
    """
    response = error_response(ApiRejection(429, "Too Many Requests"))
    if form == "seconds":
        response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    elif form == "date":
        response.headers["Retry-After"] = format_datetime(now + wait + timedelta(seconds=1), usegmt=True)
    return response
