"""Run receiver, worker and scheduler as the Procfile starts them, on private stores."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

import urllib3
from honcho.environ import parse_procfile

from runtime.process.child_processes import parent_death_preexec

ROOT = Path(__file__).parent.parent
TIMEOUT = timedelta(seconds=60)
PROCESSES = ("web", "worker", "cron")
"""The processes that every installation needs. Only `make run` starts the dashboard too."""


class ProcessFailed(Exception):
    """A process failed; the message names it and ends with its last output."""


def commands() -> dict[str, str]:
    """Return the Procfile's commands by name."""
    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def environment(settings: Mapping[str, str], folder: Path | None = None) -> dict[str, str]:
    """Return this process's environment with extra settings, and with our `python` first on the PATH.

    Args:
        settings: variables to set.
        folder: where the processes run; if it holds our packages, PYTHONPATH is left as it is.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    python_path = {} if folder == ROOT else {"PYTHONPATH": modules}
    return {**os.environ, "PATH": path, **python_path, "PYTHONUNBUFFERED": "1", **settings}


def run_to_completion(name: str, env: Mapping[str, str], folder: Path) -> None:
    """Run a command of the Procfile that ends by itself, such as `release`.

    Raises:
        ProcessFailed: it failed.
    """
    done = subprocess.run(
        shlex.split(commands()[name]), env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ProcessFailed(f"{name} failed: {done.stderr.strip()[-2000:].removeprefix('Error: ')}")


@contextmanager
def processes(
    env: Mapping[str, str], folder: Path, names: Sequence[str] = PROCESSES, overrides: Mapping[str, str] | None = None
) -> Iterator[dict[str, Path]]:
    """Run commands of the Procfile, or overrides, until the block ends; each logs to a file in the folder.

    Yields:
        Name -> log file.
    """
    logs = {name: folder / f"{name}.log" for name in names}
    command_lines = {**commands(), **(overrides or {})}
    running = [_start(command_lines[name], env, folder, logs[name].open("wb")) for name in names]
    try:
        yield logs
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            _stop(process)


def wait_until_ready(url: str, log: Path) -> None:
    """Wait until the receiver is ready to store deliveries.

    Raises:
        ProcessFailed: it does not become ready in time.
    """
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    with urllib3.PoolManager() as pool:
        while time.monotonic() < deadline:
            try:
                if pool.request("GET", f"{url}/readyz", timeout=1, retries=False).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.05)
    raise ProcessFailed(f"the receiver did not start: {log.read_text()[-2000:]}")


def _start(command: str, env: Mapping[str, str], folder: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a process in its own session, so that Ctrl-C does not reach it: it is stopped with SIGTERM."""
    with log:
        return subprocess.Popen(
            shlex.split(command),
            env=env,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=parent_death_preexec(),
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(TIMEOUT.total_seconds())
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
