"""The receiver that most people write: Flask and one RQ job per request, and no other storage."""

import hmac
import os

from flask import Flask, Response, abort, request
from redis import Redis
from rq import Queue

SECRET = os.environ["WEBHOOK_SECRET"].encode()

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


@app.post("/webhooks/meetergo")
def webhook() -> Response:
    """Verify, parse, enqueue."""
    expected = hmac.new(SECRET, request.get_data(), "sha256").hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        abort(401)
    queue.enqueue("jobs.handle", request.get_json())
    return Response("OK")
