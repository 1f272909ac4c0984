"""Run a program of ours to its end, in a fork of a process that has imported it."""

from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

from devtools.forked import ForkedProcess, Program

TIMEOUT_SECONDS = 60


def run_forked(folder: Path, env: Mapping[str, str], name: str, *arguments: str) -> "CompletedProcess[str]":
    """Run what `python -m name` runs, without what a start of Python and the imports take.

    Returns:
        With all that it printed in `stdout`.
    """
    log = folder / "printed.log"
    process = ForkedProcess(Program(name, arguments), folder, log, env)
    try:
        returncode = process.wait(TIMEOUT_SECONDS)
    finally:
        process.kill()
    assert returncode is not None
    return CompletedProcess([name, *arguments], returncode, log.read_text())
