"""`python -m receiver`: serves the receiver with Granian, on $PORT."""

from contextlib import nullcontext

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from models import logs
from models.belongings import leave_behind
from models.exposition import exposition
from receiver.settings import ReceiverSettings

CONNECTIONS = 1024
"""Open to one server process. Granian's backpressure counts open lines, busy or not; one beyond it is not heard."""

log = structlog.get_logger()


def main() -> None:
    """Checks the settings first, so that a missing one is a sentence and not a traceback of each process."""
    leave_behind("MEETERGO_API_KEY")  # Procfile runners give all of .env to each process
    settings = ReceiverSettings.load()
    settings.check_port()
    logs.configure()
    settings.vault().warn_if_it_seals_nothing()
    with exposition(settings, "web") as exposed, exposed.served() if exposed else nullcontext():
        log.info("receiver.listening", host=settings.host, port=settings.port)
        _serve(settings)


def _serve(settings: ReceiverSettings) -> None:
    Server(
        "receiver.wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        backpressure=CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=6,  # an answer takes 5 seconds at most, and Docker waits 10
        log_level=LogLevels.error,
        log_access=False,  # an access log would hold the secret address
    ).serve()


if __name__ == "__main__":
    main()
