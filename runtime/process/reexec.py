"""Re-execute this process without environment variables that it does not use, such as other processes' secrets."""

import os
import sys


def reexec_without(*names: str) -> None:
    """Re-execute this program, under the same pid, without some environment variables, if any of them is set.

    Removing them from `os.environ` is not enough: /proc shows the initial environment of a process and of its forks.

    Args:
        names: of variables, such as secrets that other processes of the same Procfile need.
    """
    if any(map(os.environ.get, names)):
        remaining = {name: value for name, value in os.environ.items() if name not in names}
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], remaining)  # noqa: S606 - no shell is wanted
