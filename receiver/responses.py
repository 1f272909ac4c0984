"""Answers: small JSON bodies. A rejection says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse

from flask import Response

JSON = "application/json"
ALWAYS = (("Content-Type", JSON), ("Cache-Control", "no-store"))
"""Nobody keeps our answers."""
CLOSE_CONNECTION = {"Connection": "close"}
"""With a body unread the server hangs up: unless that is said, the sender's next request meets a closed line."""
INTERNAL_ERROR = "internal error"

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def json_response(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
    """A JSON json_response."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return status, [("Content-Length", str(len(text))), *ALWAYS, *(headers or {}).items()], text


def rejection(status: int, reason: str, headers: dict[str, str] | None = None) -> Answer:
    """A 4xx means go away; a 503 means come back."""
    return json_response(status, {"status": "refused", "reason": reason}, headers)


def accepted(delivery_id: str) -> Answer:
    """The json_response to a delivery that is kept."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    return 200, [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *ALWAYS], body


def response(answered: Answer) -> Response:
    """An json_response as Flask wants it."""
    status, headers, body = answered
    return Response(body, status, headers)


def send(answered: Answer, start_response: StartResponse) -> Iterable[bytes]:
    """An json_response to a WSGI server."""
    status, headers, body = answered
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]
