"""The processor's time of a service counts what its processes did that have ended, such as PostgreSQL's autovacuum."""

import os
import subprocess
import sys

from benchmarks import processor

SECONDS = 0.2
BUSY = f"import time\nwhile time.process_time() < {SECONDS}: pass"


def test_a_child_that_has_ended_counts() -> None:
    before = processor.seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert processor.seconds([os.getpid()]) - before >= SECONDS - 2 / processor.TICKS


def test_a_process_that_never_was_took_no_time() -> None:
    assert processor.seconds([2**22 + 1]) == 0
