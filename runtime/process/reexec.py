"""Re-executes this process without variables that it does not use, such as secrets of other processes."""

import os
import sys


def reexec_without(*names: str) -> None:
    """Starts this program anew, as the same process, without some variables, if it was given them.

    To take them out of `os.environ` is not enough: /proc shows what a process was started with, and so do the
    processes that it forks.

    Args:
        names: of variables, such as secrets that other processes of the same Procfile need.
    """
    if any(map(os.environ.get, names)):
        remaining = {name: value for name, value in os.environ.items() if name not in names}
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], remaining)  # noqa: S606 - no shell is wanted
