"""Files that only their owner reads: bookings, webhooks that wait, and what SQLite and Redis write beside them."""

import os
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
GROUP_AND_OTHERS = 0o077
MAX_FILES = 10_000


def make_private(folder: Path) -> None:
    """Create a private folder, or make an existing one of ours private, with everything in it.

    Raises:
        OSError: it cannot be created.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    _restrict(folder, FOLDER_MODE)
    for number, path in enumerate(folder.rglob("*")):
        if number >= MAX_FILES:
            break
        if path.is_dir() and not path.is_symlink():
            _restrict(path, FOLDER_MODE)
        elif path.is_file() and not path.is_symlink():
            _restrict(path, FILE_MODE)


def _restrict(path: Path, mode: int) -> None:
    """Remove the rights of others from a path of ours. A path that others cannot access keeps its mode."""
    with suppress(OSError):
        found = path.stat()
        if found.st_uid == os.getuid() and found.st_mode & GROUP_AND_OTHERS:
            path.chmod(found.st_mode & mode)
