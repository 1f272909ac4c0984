"""Logs: events and ids, never bodies, addresses, secrets or people."""

import logging
import sys
from contextlib import suppress

import structlog
from structlog.typing import Processor

TALKATIVE = ("apprise", "httpx", "httpcore", "urllib3", "requests", "markdown", "sqlalchemy.engine", "psycopg")
"""Libraries that log URLs, which may hold secrets, or rows, which hold people."""


class Lines:
    """Writes our own lines to stderr. One that cannot be written is lost: what it tells of is done."""

    def msg(self, line: str) -> None:
        """One line."""
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")

    debug = info = warning = error = critical = msg


def configure() -> None:
    """JSON lines, or friendly ones on a terminal; what libraries log looks the same.

    Our own lines do not travel through `logging`, which takes time: the door writes one for each delivery.
    """
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    terminal = sys.stderr.isatty()
    renderer: Processor = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: Lines(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def hush() -> None:
    """Says nothing from now on that is not critical."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.root.setLevel(logging.CRITICAL)
