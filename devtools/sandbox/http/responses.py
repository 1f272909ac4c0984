"""Responses: JSON, errors, and the forms of a 429's Retry-After."""

import json
import math
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from werkzeug.wrappers import Response

from devtools.sandbox.http.errors import ApiRejection


def json_response(content: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(content, ensure_ascii=False), status, mimetype="application/json")


def empty(status: int = 204) -> Response:
    """Return a response without a body."""
    response = Response(status=status)
    response.headers.remove("Content-Type")
    return response


def error_response(error: ApiRejection) -> Response:
    """Return an error."""
    return json_response(error.body, error.status)


def too_many_requests(wait: timedelta, form: str, now: datetime) -> Response:
    """Return a 429.

    Args:
        wait: minimum wait.
        form: form of Retry-After, which is not documented: `seconds`, `date` or `none`.
        now: the current time.
    """
    response = error_response(ApiRejection(429, "Too Many Requests"))
    if form == "seconds":
        response.headers["Retry-After"] = str(math.ceil(wait.total_seconds()))
    elif form == "date":
        response.headers["Retry-After"] = format_datetime(now + wait + timedelta(seconds=1), usegmt=True)
    return response
