"""Answers: small JSON bodies. A refusal says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse

from flask import Response

JSON = "application/json"
ACCEPTED = (("Content-Type", JSON), ("Cache-Control", "no-store"))
HANG_UP = {"Connection": "close"}
"""With a body unread the server hangs up: unless that is said, the sender's next request meets a closed line."""
INTERNAL_ERROR = "internal error"


def answer(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store", **(headers or {})}, content_type=JSON)


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """A 4xx means go away; a 503 means come back."""
    return answer(status, {"status": "refused", "reason": reason}, headers)


def accepted(delivery_id: str, start_response: StartResponse) -> Iterable[bytes]:
    """The answer to a delivery that is kept, from outside Flask and without its objects."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    headers = [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *ACCEPTED]
    start_response("200 OK", headers)
    return [body]


def send(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    """An answer of Flask's, from outside it."""
    start_response(response.status, response.headers.to_wsgi_list())
    return [response.get_data()]
