"""Answers: small JSON bodies. A refusal says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse

from flask import Response

JSON = "application/json"
ACCEPTED = (("Content-Type", JSON), ("Cache-Control", "no-store"))
HANG_UP = {"Connection": "close"}
"""With a body unread the server hangs up: unless that is said, the sender's next request meets a closed line."""
INTERNAL_ERROR = "internal error"

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def answer(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store", **(headers or {})}, content_type=JSON)


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """A 4xx means go away; a 503 means come back."""
    return answer(status, {"status": "refused", "reason": reason}, headers)


def accepted(delivery_id: str) -> Answer:
    """The answer to a delivery that is kept, without the objects of Flask."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    return 200, [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *ACCEPTED], body


def answer_of(response: Response) -> Answer:
    """An answer of Flask's, for whoever sends it without Flask."""
    return response.status_code, response.headers.to_wsgi_list(), response.get_data()


def send(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    """An answer to a WSGI server."""
    status, headers, body = answer
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]
