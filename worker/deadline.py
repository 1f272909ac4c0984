"""A deadline for a whole exchange: names, connections, encryption, request and answer, whichever library makes them.

Timeouts of sockets count from the last byte, so that who sends a byte now and then is waited for without end.
"""

import socket
import sys
from contextvars import ContextVar, Token
from datetime import timedelta
from functools import cache
from os import dup
from threading import Lock, Timer
from time import monotonic
from types import TracebackType
from typing import Any, Self

_active: set["Deadline"] = set()
_current: ContextVar["Deadline | None"] = ContextVar("deadline", default=None)


class Deadline:
    """Ends every connection that was opened in its block and context, when its time is up.

    Whoever waits on such a connection then gets an error or the end of the stream; see `expired`. A connection that
    would be opened later is refused with TimeoutError: a name server that answers late cannot have anything sent late.

    Args:
        length: how long the exchange may take in all.
    """

    def __init__(self, length: timedelta) -> None:
        self._aborted = False
        self._length = length.total_seconds()
        self._ends_at = monotonic() + self._length
        self._lock = Lock()
        self._connections: list[socket.socket] = []
        self._timer = Timer(self._length, self.abort)
        self._timer.daemon = True
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Self:
        """The time begins."""
        _install_audit_hook()
        self._ends_at = monotonic() + self._length
        self._token = _current.set(self)
        self._timer.start()
        _active.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The exchange is over, one way or the other."""
        self._timer.cancel()
        _active.discard(self)
        if self._token:
            _current.reset(self._token)
        with self._lock:
            self._close_connections()

    @property
    def expired(self) -> bool:
        """Whether the time was up."""
        return self._aborted or monotonic() >= self._ends_at

    def abort(self) -> None:
        """Ends the exchange now."""
        with self._lock:
            self._aborted = True
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it is not connected yet, or not any more: see `watch`
            self._close_connections()

    def watch(self, connection: socket.socket) -> None:
        """Ends this connection with the exchange. It must not be connected yet.

        Raises:
            TimeoutError: the time is up.
        """
        with self._lock:
            left = self._ends_at - monotonic()
            if self.expired:
                raise TimeoutError("the time for this exchange is up")
            timeout = connection.gettimeout()
            if timeout is None or timeout > left:
                connection.settimeout(left)
            # A second descriptor of the same connection: the first one moves on when it is wrapped for TLS.
            self._connections.append(socket.socket(fileno=dup(connection.fileno())))

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections = []


def abort_all() -> None:
    """Ends every exchange of this process now."""
    for deadline in list(_active):
        deadline.abort()


@cache
def _install_audit_hook() -> None:
    """Python tells of each `connect`, whichever library calls it: of urllib3, smtplib, and all that Apprise uses."""
    sys.addaudithook(_on_audit_event)


def _on_audit_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    deadline = _current.get()
    connection = arguments[0]
    if deadline and connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
        deadline.watch(connection)
