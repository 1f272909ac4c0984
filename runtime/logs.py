"""Logs: event names and ids, never bodies, addresses, secrets or personal data."""

import logging
import os
import re
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog
from structlog.typing import Processor

NOISY_LIBRARIES = ("apprise", "httpx", "httpcore", "urllib3", "requests", "markdown", "sqlalchemy.engine", "psycopg")
"""Libraries that log URLs, which may hold secrets, or rows, which hold personal data."""

CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Escapes, line ends and bidirectional controls. Ids may hold them: any sender that knows the address chooses ids."""
MULTILINE_FIELDS = ("traceback", "exception", "stack")
"""Our own code's, in lines."""


class StderrLogger:
    """Writes our own log lines to stderr. A line that cannot be written is dropped."""

    def msg(self, line: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")

    debug = info = warning = error = critical = msg


def configure(level: int = logging.INFO) -> None:
    """Log JSON lines, or readable ones on a terminal, in the same format for our code and for libraries.

    LOG_FORMAT=text asks for readable ones elsewhere too, as `make run` does where it writes to a terminal. Our own
    lines bypass `logging`, which is slow: the receiver writes one for each delivery.

    Args:
        level: the least level of our own lines.
    """
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    terminal = sys.stderr.isatty() or os.environ.get("LOG_FORMAT") == "text"
    renderer: Processor = structlog.processors.JSONRenderer()
    if terminal:
        renderer = structlog.dev.ConsoleRenderer()
        shared.append(_escape)  # JSON does that by itself
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: StderrLogger(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # a line for each, at import


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, which a terminal would interpret."""
    for name, value in event.items():
        if isinstance(value, str) and name not in MULTILINE_FIELDS:
            event[name] = CONTROL_CHARACTERS.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    return event


def silence() -> None:
    """Log only critical messages from now on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.root.setLevel(logging.CRITICAL)


def log_unhandled_exception(error: BaseException) -> None:
    """Log where an exception was raised, without its message, which could hold the secret address or a body."""
    where = "".join(traceback.format_tb(error.__traceback__))
    structlog.get_logger().error("request.failed", error=type(error).__name__, traceback=where)
