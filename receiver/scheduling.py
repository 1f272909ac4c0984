"""Scheduling: which of our threads runs when several could."""

import os
from contextlib import suppress


def use_batch_scheduling() -> None:
    """A woken thread waits for its turn: interrupting who woke it, it would only find Python's lock taken.

    Linux calls it SCHED_BATCH, and a busy receiver answers more with it: see the last rung of the ladder in
    docs/performance.md. Where there is none, or it is not allowed, nothing happens.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
