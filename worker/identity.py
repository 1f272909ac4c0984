"""The identity of a worker process: the name under which it records what it has claimed."""

import os
import socket
from secrets import token_hex

LONGEST_HOST_NAME = 64

_given: dict[int, str] = {}
"""Process id -> its name. A child that was forked is another process."""


def new_name() -> str:
    """A name that no other process ever has, on any machine."""
    return f"{socket.gethostname()[:LONGEST_HOST_NAME]}-{os.getpid()}-{token_hex(4)}"


def be(name: str) -> None:
    """Gives this process its name: that by which the crew knows it after its death."""
    _given[os.getpid()] = name


def own_name() -> str:
    """The name of this process."""
    return _given.setdefault(os.getpid(), new_name())
