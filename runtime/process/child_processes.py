"""Child processes that end with their parent, even if it was killed."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import parent_process
from threading import Thread, current_thread, main_thread

POLL_INTERVAL = timedelta(seconds=1)
SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def parent_death_preexec() -> Callable[[], None] | None:
    """Return the `preexec_fn` of a new process that gets SIGTERM when this one ends; None where that is impossible.

    The kernel sends the signal when the thread that started the child ends, so only the main thread may request it.
    """
    if _libc is None or current_thread() is not main_thread():
        return None
    parent = os.getpid()

    def request_signal() -> None:
        request_parent_death_signal()
        if os.getppid() != parent:  # it ended meanwhile
            os.kill(os.getpid(), signal.SIGTERM)

    return request_signal


def request_parent_death_signal() -> None:
    """Let the kernel send this process SIGTERM when its parent ends, where the system supports that."""
    if _libc is not None:
        _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def stop_with_parent() -> None:
    """Send this process, a child of multiprocessing's, SIGTERM when its parent has ended."""
    parent = parent_process()
    assert parent is not None  # noqa: S101 - it is a child
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        Thread(target=_watch, args=(parent.pid,), name="parent", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int | None) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_INTERVAL.total_seconds())
    os.kill(os.getpid(), signal.SIGTERM)
