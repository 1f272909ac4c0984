"""The patience: a write that was left open gets some time before anybody looks whether it was applied."""

import time
from datetime import timedelta

SETTLING = timedelta(seconds=5)
"""An answer may be lost before the write is done: who looks at once does not see it."""


def let_it_settle() -> None:
    """Waits so long."""
    time.sleep(SETTLING.total_seconds())
