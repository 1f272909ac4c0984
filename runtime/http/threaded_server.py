"""The HTTP server of processes that serve no webhooks: metrics, and health checks for those without a port."""

import json
import socket
from collections.abc import Callable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

HealthCheck = Callable[[], bool]
"""Returns whether a process sends heartbeats. Raises RedisError if that is unknown."""
REQUEST_TIMEOUT_SECONDS = 10
"""Time limit for reading a request, so that silent connections do not pile up."""


def start_http_server(
    host: str, port: int, registry: "CollectorRegistry", health_check: HealthCheck | None = None
) -> WSGIServer:
    """Serve `/metrics` from threads of this process, and `/healthz` and `/readyz` if there is a health check.

    `/healthz` tells whether to restart the process, which repairs no store: it answers 503 only if heartbeats are
    missing. `/readyz` answers 503 also while Redis is down.

    Raises:
        OSError: the port is taken.
    """
    from prometheus_client import make_wsgi_app  # late: see runtime/http/metrics_server.py

    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if health_check is None or path not in ("/healthz", "/readyz"):
            return metrics(environ, start_response)
        is_ok, text = _health(health_check, redis_required=path == "/readyz")
        start_response(
            "200 OK" if is_ok else "503 Service Unavailable",
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
        )
        return [json.dumps({"status": text}).encode() + b"\n"]

    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    server_class = type("Server", (_Server,), {"address_family": family})
    server: WSGIServer = make_server(host, port, app, server_class, _SilentHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def _health(check: HealthCheck, *, redis_required: bool) -> tuple[bool, str]:
    try:
        is_alive = check()
    except RedisError:
        return not redis_required, "redis does not answer"
    return is_alive, "ok" if is_alive else "no heartbeat"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hung up or fell silent."""


class _SilentHandler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Log no requests."""
