"""Flask and Celery: results ignored, `delay` in the view, Celery's own pool of connections."""

import hmac
import os
from typing import Any

from celery import Celery
from flask import Flask, Response, abort, request

SECRET = os.environ["WEBHOOK_SECRET"].encode()

app = Flask(__name__)
celery = Celery(__name__, broker=os.environ["REDIS_URL"], task_ignore_result=True)


@celery.task
def handle(payload: dict[str, Any]) -> None:
    """Never called here."""


@app.post("/webhooks/meetergo")
def webhook() -> Response:
    """Verify, parse, enqueue."""
    expected = hmac.new(SECRET, request.get_data(), "sha256").hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        abort(401)
    handle.delay(request.get_json())
    return Response("OK")
