"""Logs: events and ids, never bodies, addresses, secrets or people."""

import logging
import sys

import structlog
from structlog.typing import Processor

TALKATIVE = ("apprise", "httpx", "httpcore", "urllib3", "requests", "markdown", "sqlalchemy.engine")
"""Libraries that log URLs, which may hold secrets, or rows, which hold people."""


def configure() -> None:
    """JSON lines, or friendly ones on a terminal; what libraries log goes the same way."""
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    terminal = sys.stderr.isatty()
    renderer: Processor = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
