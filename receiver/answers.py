"""Answers: small JSON bodies. A refusal says why in a few words that tell an attacker nothing."""

import json
from collections.abc import Iterable
from wsgiref.types import StartResponse

from flask import Response


def answer(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store", **(headers or {})}, content_type="application/json")


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """A 4xx means go away; a 503 means come back."""
    return answer(status, {"status": "refused", "reason": reason}, headers)


def send(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    """The same answer from outside Flask."""
    start_response(response.status, response.headers.to_wsgi_list())
    return [response.get_data()]
