"""Open the standard streams that were closed when the process began, as `2>&-` and some supervisors do.

Python has None for them, which our code and libraries would call. Their numbers would go to the next files that are
opened, so that what C libraries print would be written into a database.
"""

import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open those that are closed on the null device."""
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            _open_null(number)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace"))


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(null, number)
        os.close(null)
