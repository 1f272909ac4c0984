"""A deadline for a whole exchange, from name resolution to the response, for any networking library.

Socket timeouts restart with every byte received, so a slow peer could hold a connection forever.
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
    """Closes every connection opened in its block and context when the time is up.

    Code that waits on such a connection gets an error or the end of the stream; see `expired`. A later connection is
    refused with TimeoutError, so that a late answer from a name server cannot cause a late send.

    Args:
        length: limit for the whole exchange.
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
        """Start the clock."""
        _install_audit_hook()
        self._ends_at = monotonic() + self._length
        self._token = _current.set(self)
        self._timer.start()
        _active.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and forget the connections."""
        self._timer.cancel()
        _active.discard(self)
        if self._token:
            _current.reset(self._token)
        with self._lock:
            self._close_connections()

    @property
    def expired(self) -> bool:
        """Whether the time is up."""
        return self._aborted or monotonic() >= self._ends_at

    def abort(self) -> None:
        """End the exchange now."""
        with self._lock:
            self._aborted = True
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # not connected yet, or no longer: see `watch`
            self._close_connections()

    def watch(self, connection: socket.socket) -> None:
        """Close this connection when the exchange ends. It must not be connected yet.

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
            # A second descriptor of the same connection: wrapping for TLS replaces the first.
            self._connections.append(socket.socket(fileno=dup(connection.fileno())))

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections = []


def abort_all() -> None:
    """End every exchange of this process now."""
    for deadline in list(_active):
        deadline.abort()


@cache
def _install_audit_hook() -> None:
    """Install a hook for Python's `connect` audit event, which every library triggers: urllib3, smtplib, Apprise's."""
    sys.addaudithook(_on_audit_event)


def _on_audit_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    deadline = _current.get()
    connection = arguments[0]
    if deadline and connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
        deadline.watch(connection)
