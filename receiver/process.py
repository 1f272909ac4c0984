"""The server process: TCP keepalive and scheduling."""

import os
import socket
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from stat import S_ISSOCK

KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES = timedelta(seconds=10), timedelta(seconds=5), 3
"""An idle peer is probed after IDLE, and dropped after PROBES unanswered probes."""
UNSENT_TIMEOUT = timedelta(seconds=20)
"""How long sent data may stay unacknowledged before the connection is dropped: the peer is gone or does not read."""

SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": int(KEEPALIVE_IDLE.total_seconds()),
    "TCP_KEEPINTVL": int(KEEPALIVE_INTERVAL.total_seconds()),
    "TCP_KEEPCNT": KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": int(UNSENT_TIMEOUT.total_seconds() * 1000),
}


def enable_keepalive() -> None:
    """Enable TCP keepalive on the listening socket; accepted connections inherit it.

    Granian has no option for it and does not expose its socket, so it is looked up among this process's descriptors.
    """
    for file in list(Path("/dev/fd").iterdir()):
        with suppress(OSError):  # closed meanwhile
            if S_ISSOCK(os.fstat(int(file.name)).st_mode):
                with socket.socket(fileno=os.dup(int(file.name))) as listener:
                    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        _set_keepalive(listener)


def _set_keepalive(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SOCKET_OPTIONS.items():
        if option := getattr(socket, name, None):  # not every system has all of them
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def use_batch_scheduling() -> None:
    """Use SCHED_BATCH: a thread that preempts the one that woke it would block on the GIL at once.

    docs/performance.md has the gain. Where SCHED_BATCH is missing or not permitted, nothing happens.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
