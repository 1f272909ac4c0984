"""Processes that run for a while, each with a log, and are always ended."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
NODE = ROOT / "benchmarks" / "node"
GRACE_SECONDS = 5
LAST_LINES = 15


class NotInstalled(Exception):
    """A peer is not on this machine; the message says what to do."""


def node(script: str) -> list[str]:
    """Return the command line of a peer in Node.

    Raises:
        NotInstalled: there is no node, or its packages are missing.
    """
    program = shutil.which("node")
    if program is None:
        raise NotInstalled("skipped: there is no node on this machine")
    if not (NODE / "node_modules").exists():
        raise NotInstalled("skipped: its packages are not here; make bench-install")
    return [program, *(str(NODE / word) if word.endswith(".js") else word for word in script.split())]


def plain(url: str) -> str:
    """Return a PostgreSQL URL as other libraries take it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with only the given variables and those that Python needs."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}


@contextmanager
def running(command_line: Sequence[str], folder: Path, env: Mapping[str, str], copies: int = 1) -> Iterator[list[int]]:
    """Start the same command N times; yield the process ids. Each leads a process group that is ended as a whole."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(copies):
            with (folder / f"{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(command_line, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
                )
        yield [process.pid for process in started]
    finally:
        for process in started:
            end(process)


def log_tail(folder: Path) -> str:
    """Return the ends of the logs."""
    logs = sorted(folder.glob("*.log"))
    return "\n".join(line for log in logs for line in log.read_text(errors="replace").splitlines()[-LAST_LINES:])


def end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate it, wait, and kill its whole group in any case."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
