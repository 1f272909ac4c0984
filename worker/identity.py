"""The identity of a worker process: the name under which it records what it has claimed."""

import os
import socket
from secrets import token_hex

MAX_HOST_NAME_LENGTH = 64

_names: dict[int, str] = {}
"""Process id -> name. A forked child is another process."""


def new_name() -> str:
    """Return a name that no other process ever has, on any machine."""
    return f"{socket.gethostname()[:MAX_HOST_NAME_LENGTH]}-{os.getpid()}-{token_hex(4)}"


def set_name(name: str) -> None:
    """Set the name of this process, by which the pool identifies it after its death."""
    _names[os.getpid()] = name


def own_name() -> str:
    """Return the name of this process."""
    return _names.setdefault(os.getpid(), new_name())
