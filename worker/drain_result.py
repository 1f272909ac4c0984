"""DrainResult: the result of one step of a drain."""

from enum import IntEnum


class DrainResult(IntEnum):
    """Whether anything was due, and whether all of it was handled."""

    IDLE = 0
    DRAINED = 1
    MORE = 2
