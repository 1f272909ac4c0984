"""`python -m receiver`: serves the receiver with Granian, on $PORT."""

import resource
from contextlib import nullcontext
from datetime import timedelta

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from receiver.process import STOP_TIMEOUT
from receiver.settings import ReceiverSettings
from runtime import logs
from runtime.metrics_server import open_metrics_server
from runtime.process.reexec import reexec_without

MAX_CONNECTIONS = 4096
"""Open to one server process, busy or not; one beyond it waits until another ends."""
RESERVED_FILES = 256
"""Open files of a process beside its connections."""
HEADER_TIMEOUT = timedelta(seconds=10)
"""For a request's head, from the moment at which one may come: so also how long a connection may say nothing."""
MAX_HEADER_BYTES = 64 * 1024
"""Bytes that are kept of a request's head, and read of its body at once."""

log = structlog.get_logger()


def main() -> None:
    """Checks the settings first, so that a missing one is a sentence and not a traceback of each process."""
    reexec_without("MEETERGO_API_KEY")  # Procfile runners give all of .env to each process
    settings = ReceiverSettings.load()
    settings.check_port()
    logs.configure()
    settings.cipher().warn_if_unencrypted()
    with (
        open_metrics_server(settings, "web") as metrics_server,
        metrics_server.serving() if metrics_server else nullcontext(),
    ):
        log.info("receiver.listening", host=settings.host, port=settings.port)
        _serve(settings)


def _serve(settings: ReceiverSettings) -> None:
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
    """As many as there may be files, after asking for as many as are needed: one too many would starve the stores."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    if 0 <= soft < wanted:  # below 0 is unlimited
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft < 0 else max(1, min(MAX_CONNECTIONS, soft - RESERVED_FILES))


if __name__ == "__main__":
    main()
