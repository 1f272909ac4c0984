"""Serve the receiver with Granian on $PORT."""

import resource
from contextlib import nullcontext
from datetime import timedelta

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from receiver.settings import ReceiverSettings
from runtime import logs
from runtime.http.metrics_server import open_metrics_server
from runtime.http.wsgi import STOP_TIMEOUT
from runtime.process.misspelt import warn_of_misspelt_settings
from runtime.process.preload import fork_with_imported
from runtime.settings import check_port_free
from runtime.tracing import switch as tracing

MAX_CONNECTIONS = 4096
"""Open connections per server process, busy or idle. Further connections wait until one closes."""
RESERVED_FILES = 256
"""File descriptors kept free for everything that is not a client connection."""
HEADER_TIMEOUT = timedelta(seconds=10)
"""Time limit for a request's headers. It starts when a request may arrive, so it is also the idle timeout."""
MAX_HEADER_BYTES = 64 * 1024
"""Largest request head, and the size of one read of the body, in bytes."""

log = structlog.get_logger()


def run() -> None:
    """Run the receiver until it is stopped.

    The settings are checked first, so that a missing one is reported in one sentence, not in a traceback per process.
    """
    settings = ReceiverSettings.load()
    check_port_free("PORT", settings.host, settings.port)
    tracing.check()
    logs.configure()
    settings.cipher().warn_if_unencrypted()
    if settings.webhook_signature_secrets and not settings.webhook_signature_scheme:
        log.warning("signatures.unverified", advice="set WEBHOOK_SIGNATURE_SCHEME, or the secrets have no effect")
    warn_of_misspelt_settings()
    with (
        open_metrics_server(settings, "web") as metrics_server,
        metrics_server.serving() if metrics_server else nullcontext(),
    ):
        log.info("receiver.listening", host=settings.host, port=settings.port)
        _serve(settings)


def _serve(settings: ReceiverSettings) -> None:
    fork_with_imported("receiver.app")
    Server(
        "receiver.rsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.web_processes,
        backpressure=_connections(),
        backlog=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(HEADER_TIMEOUT.total_seconds() * 1000), max_buffer_size=MAX_HEADER_BYTES
        ),
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_TIMEOUT.total_seconds()),
        log_level=LogLevels.error,
        log_access=False,  # an access log would hold the secret address
    ).serve()


def _connections() -> int:
    """Raise the limit of open files as needed, and return how many connections it leaves room for.

    One connection too many would leave no descriptor for the database and Redis.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    if 0 <= soft < wanted:  # below 0 is unlimited
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft < 0 else max(1, min(MAX_CONNECTIONS, soft - RESERVED_FILES))
