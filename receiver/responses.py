"""Answers: small JSON bodies. A refusal says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse

from flask import Response

JSON = "application/json"
ALWAYS = (("Content-Type", JSON), ("Cache-Control", "no-store"))
"""Nobody keeps our answers."""
HANG_UP = {"Connection": "close"}
"""With a body unread the server hangs up: unless that is said, the sender's next request meets a closed line."""
INTERNAL_ERROR = "internal error"

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def answer(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
    """A JSON answer."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return status, [("Content-Length", str(len(text))), *ALWAYS, *(headers or {}).items()], text


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Answer:
    """A 4xx means go away; a 503 means come back."""
    return answer(status, {"status": "refused", "reason": reason}, headers)


def accepted(delivery_id: str) -> Answer:
    """The answer to a delivery that is kept."""
    body = b'{"status":"accepted","delivery":"%b"}' % delivery_id.encode()
    return 200, [("Content-Length", str(len(body))), ("X-Delivery-Id", delivery_id), *ALWAYS], body


def response(answered: Answer) -> Response:
    """An answer as Flask wants it."""
    status, headers, body = answered
    return Response(body, status, headers)


def send(answered: Answer, start_response: StartResponse) -> Iterable[bytes]:
    """An answer to a WSGI server."""
    status, headers, body = answered
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]
