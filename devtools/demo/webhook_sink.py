"""The platform's side of the demo: an endpoint that receives and verifies our signed notifications."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class WebhookSink:
    """An endpoint of the platform, and what it has received.

    Attributes:
        url: URL of the endpoint.
        received: message id -> type, for each message with a valid signature.
    """

    url: str
    received: dict[str, str]


@contextmanager
def open_webhook_sink(secret: str) -> Iterator[WebhookSink]:
    """Listen on a free local port until the block ends."""
    received: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            Webhook(secret).verify(body, dict(self.headers))
            received[self.headers["webhook-id"]] = json.loads(body)["type"]
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Log nothing: the demo prints what was received."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield WebhookSink(f"http://127.0.0.1:{server.server_port}/bookings", received)
        server.shutdown()
