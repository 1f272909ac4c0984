"""DrainResult: what became of one look into a box."""

from enum import IntEnum


class DrainResult(IntEnum):
    """Whether anything was due, and whether all of it was handled."""

    NOTHING = 0
    ALL = 1
    PART = 2
