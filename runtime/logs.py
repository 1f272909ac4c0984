"""Logs: event names and ids, never bodies, addresses, secrets or personal data."""

import logging
import os
import re
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from select import PIPE_BUF, POLLOUT, poll
from typing import Any

import structlog
from structlog.typing import Processor

NOISY_LIBRARIES = ("apprise", "httpx", "httpcore", "urllib3", "requests", "markdown", "sqlalchemy.engine", "psycopg")
"""Libraries that log URLs, which may hold secrets, or rows, which hold personal data."""

CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Escapes, line ends and bidirectional controls. Ids may hold them: any sender that knows the address chooses ids."""
MAX_WAIT_MILLISECONDS = 100
"""How long a line waits for a reader before it is dropped. The receiver answers no one meanwhile."""
MULTILINE_FIELDS = ("traceback", "exception", "stack")
"""Our own code's, in lines."""


class StderrLogger:
    """Writes log lines to stderr. A line that cannot be written is dropped, also if nobody reads the pipe."""

    def __init__(self) -> None:
        self._stream, self._poll, self._descriptor = None, poll(), 0
        self._dropped = 0

    def write(self, text: str) -> None:
        """Write whole lines, as `logging.StreamHandler` does."""
        with suppress(OSError, ValueError):
            if sys.stderr is not self._stream:
                self._open(sys.stderr)
            if not self._descriptor:
                sys.stderr.write(text)
            elif not self._is_writable():
                self._dropped += 1
            else:
                if self._dropped:
                    self._note_dropped()
                self._write(text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Do nothing: each line was written."""

    def msg(self, line: str) -> None:
        """Write one line."""
        self.write(f"{line}\n")

    debug = info = warning = error = critical = msg

    def _open(self, stream: Any) -> None:
        self._stream, self._poll, self._descriptor = stream, poll(), 0
        with suppress(OSError, ValueError):  # it is no file
            self._descriptor = stream.fileno()
            self._poll.register(self._descriptor, POLLOUT)

    def _is_writable(self) -> bool:
        """Wait for a slow reader, but not for each line anew."""
        return bool(self._poll.poll(0) or (not self._dropped and self._poll.poll(MAX_WAIT_MILLISECONDS)))

    def _write(self, data: bytes) -> None:
        """Write in parts of which each fits into a pipe that is writable."""
        os.write(self._descriptor, data[:PIPE_BUF])
        for start in range(PIPE_BUF, len(data), PIPE_BUF):
            if not self._is_writable():
                self._dropped += 1
                return
            os.write(self._descriptor, data[start : start + PIPE_BUF])

    def _note_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        structlog.get_logger().warning("log.dropped", lines=dropped)


stderr_logger = StderrLogger()
"""The one of this process, for all lines."""


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
        logger_factory=lambda *_: stderr_logger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stderr_logger)
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
