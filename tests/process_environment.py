"""The environment with which a process and its children were started, from /proc."""

from pathlib import Path


def environment_names(pid: int) -> list[set[str]]:
    """Return the names of the variables of a process and of each of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [_names(Path(f"/proc/{process_id}/environ").read_text()) for process_id in (pid, *children)]


def _names(environ: str) -> set[str]:
    return {entry.partition("=")[0] for entry in environ.split("\0") if entry}
