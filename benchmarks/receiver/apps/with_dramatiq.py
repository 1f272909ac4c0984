"""Flask and Dramatiq: its Redis broker with its default middleware, `send` in the view."""

import hmac
import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from flask import Flask, Response, abort, request

SECRET = os.environ["WEBHOOK_SECRET"].encode()

app = Flask(__name__)
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def handle(payload: dict[str, Any]) -> None:
    """Never called here."""


@app.post("/webhooks/meetergo")
def webhook() -> Response:
    """Verify, parse, enqueue."""
    expected = hmac.new(SECRET, request.get_data(), "sha256").hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        abort(401)
    handle.send(request.get_json())
    return Response("OK")
