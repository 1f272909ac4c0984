"""HTTP responses: small JSON bodies. A rejection gives its reason in a few words that tell an attacker nothing."""

import json

from flask import Response

from runtime.http.wsgi import RawResponse

JSON = "application/json"
COMMON_HEADERS = (("Content-Type", JSON), ("Cache-Control", "no-store"))
"""Headers of every response. Responses must not be cached."""
CLOSE_CONNECTION = {"Connection": "close"}
"""Tells the client not to reuse the connection: the server closes it when the body was not read."""
INTERNAL_ERROR = "internal error"


def json_response(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> RawResponse:
    """Build a JSON response."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return status, [("Content-Length", str(len(text))), *COMMON_HEADERS, *(headers or {}).items()], text


def rejection(status: int, reason: str, headers: dict[str, str] | None = None) -> RawResponse:
    """Build the response to a rejected request: 4xx means do not retry, 503 means retry later."""
    return json_response(status, {"status": "refused", "reason": reason}, headers)


def to_flask_response(raw_response: RawResponse) -> Response:
    """Convert a response to a Flask response."""
    status, headers, body = raw_response
    return Response(body, status, headers)
