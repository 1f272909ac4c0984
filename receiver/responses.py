"""Responses: small JSON bodies. A rejection says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse

from flask import Response

JSON = "application/json"
COMMON_HEADERS = (("Content-Type", JSON), ("Cache-Control", "no-store"))
"""Nobody keeps our answers."""
CLOSE_CONNECTION = {"Connection": "close"}
"""With a body unread the server hangs up: unless that is said, the sender's next request meets a closed line."""
INTERNAL_ERROR = "internal error"

RawResponse = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def json_response(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> RawResponse:
    """A JSON response."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return status, [("Content-Length", str(len(text))), *COMMON_HEADERS, *(headers or {}).items()], text


def rejection(status: int, reason: str, headers: dict[str, str] | None = None) -> RawResponse:
    """A 4xx means go away; a 503 means come back."""
    return json_response(status, {"status": "refused", "reason": reason}, headers)


def accepted(delivery_id: str) -> RawResponse:
    """The response to a delivery that is stored."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    return 200, [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *COMMON_HEADERS], body


def to_flask_response(raw_response: RawResponse) -> Response:
    """A response as a Flask object."""
    status, headers, body = raw_response
    return Response(body, status, headers)


def send(raw_response: RawResponse, start_response: StartResponse) -> Iterable[bytes]:
    """Sends a response to a WSGI server."""
    status, headers, body = raw_response
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]
