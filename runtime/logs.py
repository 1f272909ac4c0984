"""Logs: event names and ids, never bodies, addresses, secrets or personal data."""

import logging
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from select import PIPE_BUF, select
from stat import S_ISFIFO, S_ISSOCK
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

NOISY_LIBRARIES = ("apprise", "httpx", "httpcore", "urllib3", "requests", "markdown", "sqlalchemy.engine", "psycopg")
"""Libraries that log URLs, which may hold secrets, or rows, which hold personal data."""

CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Escapes, line ends and bidirectional controls. Ids may hold them: any sender that knows the address chooses ids."""
MAX_WAIT_SECONDS = 0.1
"""How long a line waits for a reader before it is dropped. The receiver answers no request meanwhile."""
PLACEHOLDER = "<value>"
MULTILINE_FIELDS = ("traceback", "exception", "stack")
"""Fields of several lines; our own code made them, so they need no escaping."""
DEFAULT_ACCOUNT = "default"
"""The account of the settings; `models.account` names it too."""


class StderrLogger:
    """Writes log lines to stderr. A line that cannot be written, or that nothing reads, is dropped."""

    def __init__(self) -> None:
        self._stream: object = None
        self._send: Callable[[bytes], int] | None = None
        self._opened = ExitStack()
        self._dropped, self._is_stuck = 0, False

    def write(self, text: str) -> None:
        """Write whole lines, as `logging.StreamHandler` does."""
        with suppress(OSError, ValueError):
            if sys.stderr is not self._stream:
                self._opened.close()
                self._stream, self._send = sys.stderr, _nonblocking(sys.stderr, self._opened)
            if self._send is None:
                sys.stderr.write(text)
            elif (self._dropped and not self._note_dropped()) or not self._put(text.encode(errors="backslashreplace")):
                self._dropped += text.count("\n")

    def flush(self) -> None:
        """Do nothing: each line was written."""

    def msg(self, line: str) -> None:
        """Write one line."""
        self.write(f"{line}\n")

    debug = info = warning = error = critical = msg

    def _put(self, data: bytes) -> bool:
        """Return whether the reader took the data. Wait for a slow one, but not for each line anew."""
        assert self._send  # noqa: S101 - for mypy
        while data:
            try:
                data = data[self._send(data) :]
            except BlockingIOError:
                wait = 0.0 if self._is_stuck else MAX_WAIT_SECONDS
                self._is_stuck = not select([], [sys.stderr], [], wait)[1]
                if self._is_stuck:
                    return False
        self._is_stuck = False
        return True

    def _note_dropped(self) -> bool:
        """Log how many lines were dropped; return whether that was written."""
        dropped, self._dropped = self._dropped, 0
        structlog.get_logger().warning("log.dropped", lines=dropped)
        if self._dropped:
            self._dropped = dropped
        return not self._dropped


def _nonblocking(stream: TextIO, opened: ExitStack) -> Callable[[bytes], int] | None:
    """Return a function that writes to a pipe or socket or raises BlockingIOError; None if the stream is neither.

    The flag O_NONBLOCK belongs to an open file, which other processes share. So a pipe is opened again.
    """
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
        if S_ISFIFO(mode):
            pipe = os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
            opened.callback(os.close, pipe)
            return partial(os.write, pipe)
        if S_ISSOCK(mode):
            connection = opened.enter_context(socket.socket(fileno=os.dup(descriptor)))
            return lambda data: connection.send(data, socket.MSG_DONTWAIT)
    return None


stderr_logger = StderrLogger()
"""The logger of this process, which writes all its lines."""


def configure(level: int = logging.INFO) -> None:
    """Log JSON lines, or readable ones on a terminal, in the same format for our code and for libraries.

    LOG_FORMAT=text asks for readable ones elsewhere too, as `make run` does where it writes to a terminal. Our own
    lines bypass `logging`, which is slow: the receiver writes one for each delivery.

    Args:
        level: the lowest level of our own lines that is logged.
    """
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    terminal = sys.stderr.isatty() or os.environ.get("LOG_FORMAT") == "text"
    renderer: Processor = structlog.processors.JSONRenderer()
    if terminal:
        renderer = structlog.dev.ConsoleRenderer()
        shared.append(_escape)  # JSON escapes by itself
    structlog.configure(
        processors=[_omit_default_account, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: stderr_logger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stderr_logger)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    logging.captureWarnings(True)  # libraries print theirs otherwise, on several lines
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # a line for each, at import


def _omit_default_account(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the account only in lines about another company than that of the settings: few installations have one."""
    if event.get("account") == DEFAULT_ACCOUNT:
        del event["account"]
    return event


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, which a terminal would interpret."""
    for name, value in event.items():
        if isinstance(value, str) and name not in MULTILINE_FIELDS:
            event[name] = CONTROL_CHARACTERS.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    return event


def info_for_each(event: str, field: str, ids: Sequence[str], **fields: str) -> None:
    """Log the same line for each id, with the same time.

    The line is rendered once, and the lines are written together: one by one, they cost a fifth of the receiver's time.

    Args:
        event: name of the event.
        field: name of the field that holds the id.
        ids: ids that need no escaping.
        fields: other fields.
    """
    log = structlog.get_logger()
    if not log.is_enabled_for(logging.INFO):
        return
    entry: Any = {field: PLACEHOLDER, **fields, "event": event}
    for processor in structlog.get_config()["processors"]:
        entry = processor(log, "info", entry)
    for text in _joined([f"{entry}\n".replace(PLACEHOLDER, each) for each in ids]):
        stderr_logger.write(text)


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Join lines up to the length that a pipe takes as a whole, so that they do not mix with another process's."""
    count = max(1, PIPE_BUF // len(lines[0].encode()))
    for start in range(0, len(lines), count):
        yield "".join(lines[start : start + count])


def silence() -> None:
    """Log only critical messages from now on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.root.setLevel(logging.CRITICAL)


def log_unhandled_exception(error: BaseException) -> None:
    """Log where an exception was raised, without its message, which could hold the secret address or a body."""
    where = "".join(traceback.format_tb(error.__traceback__))
    structlog.get_logger().error("request.failed", error=type(error).__name__, traceback=where)
