"""The server process: what it asks of its sockets, and that it ends with its parent."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from datetime import timedelta
from multiprocessing import parent_process
from pathlib import Path
from stat import S_ISSOCK

IDLE, INTERVAL, PROBES = timedelta(seconds=10), timedelta(seconds=5), 3
"""A peer that is silent is asked after IDLE, and given up after so many unanswered questions."""
UNSENT = timedelta(seconds=20)
"""How long what we send may stay unread, by whoever vanished or does not want to read."""
LOOK_FOR_PARENT_EVERY = timedelta(seconds=1)
LONGEST_STOP = timedelta(seconds=6)
"""An answer takes 5 seconds at most, and Docker waits 10."""

OPTIONS = {
    "TCP_KEEPIDLE": int(IDLE.total_seconds()),
    "TCP_KEEPINTVL": int(INTERVAL.total_seconds()),
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": int(UNSENT.total_seconds() * 1000),
}


def keep_alive() -> None:
    """Turns TCP keepalive on for every connection to come: they inherit it from the socket that listens.

    Granian has no option for it, and does not show its socket. So we look for it among our own.
    """
    for file in list(Path("/dev/fd").iterdir()):
        with suppress(OSError):  # one that was closed meanwhile
            if S_ISSOCK(os.fstat(int(file.name)).st_mode):
                with socket.socket(fileno=os.dup(int(file.name))) as line:
                    if line.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        _keep_alive(line)


def _keep_alive(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in OPTIONS.items():
        if option := getattr(socket, name, None):  # not every system has all of them
            line.setsockopt(socket.IPPROTO_TCP, option, value)


def end_with_parent(loop: asyncio.AbstractEventLoop) -> None:
    """Stops this process when its parent is gone: whoever starts the receiver anew needs the port for itself."""
    parent = parent_process()
    if parent is None:
        return
    if os.getppid() == parent.pid:
        loop.call_later(LOOK_FOR_PARENT_EVERY.total_seconds(), end_with_parent, loop)
        return
    loop.call_later(LONGEST_STOP.total_seconds(), os._exit, 1)  # nobody else would kill it
    os.kill(os.getpid(), signal.SIGTERM)
