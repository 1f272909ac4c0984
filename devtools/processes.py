"""Run receiver, worker and scheduler as the Procfile starts them, on private stores."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from honcho.environ import parse_procfile

from devtools.forked import ROOT, ForkedProcess, program_of
from runtime.process.child_processes import parent_death_preexec

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


def run_release(env: Mapping[str, str], folder: Path, *, of_this_process: bool = False) -> None:
    """Run the Procfile's `release`, which migrates the database and ends. For `of_this_process` see `ForkedProcess`.

    Raises:
        ProcessFailed: it failed.
    """
    program = program_of(commands()["release"])
    assert program  # noqa: S101 - it is ours
    with tempfile.NamedTemporaryFile() as log:
        process = ForkedProcess(program, folder, Path(log.name), env, of_this_process=of_this_process)
        if process.wait():
            message = log.read().decode(errors="replace").strip()[-2000:]
            raise ProcessFailed(f"release failed: {message.removeprefix('Error: ')}")


@contextmanager
def processes(
    env: Mapping[str, str],
    folder: Path,
    names: Sequence[str] = PROCESSES,
    overrides: Mapping[str, str] | None = None,
    *,
    are_forked: bool = True,
) -> Iterator[dict[str, Path]]:
    """Run commands of the Procfile, or overrides, until the block ends; each logs to a file in the folder.

    Args:
        env: their environment.
        folder: where they run and log.
        names: which of the Procfile's.
        overrides: name -> command, instead of the Procfile's.
        are_forked: whether they may be forks of one that has imported their programs. Such a process is not a child of
            this one, and runs on the processor cores that were allowed when the first was started.

    Yields:
        Name -> log file.
    """
    logs = {name: folder / f"{name}.log" for name in names}
    command_lines = {**commands(), **(overrides or {})}
    for log in logs.values():
        log.write_bytes(b"")
    start = _start if are_forked else _start_python
    running = [start(command_lines[name], env, folder, logs[name]) for name in names]
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
    import urllib3  # late: `make run` waits for nothing

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


def _start(command: str, env: Mapping[str, str], folder: Path, log: Path) -> "ForkedProcess | subprocess.Popen[bytes]":
    """Start a process in its own session, so that Ctrl-C does not reach it: it is stopped with SIGTERM.

    Its Python is a fork, unless it is another program's, or one that a `sitecustomize.py` changes.
    """
    program = program_of(command)
    folders = env.get("PYTHONPATH", "").split(os.pathsep)
    if program and not any((Path(each) / "sitecustomize.py").exists() for each in folders if each):
        if program.name == "receiver":  # it would start itself again, without the key
            env = {name: value for name, value in env.items() if name != "MEETERGO_API_KEY"}
        return ForkedProcess(program, folder, log, env)
    return _start_python(command, env, folder, log)


def _start_python(command: str, env: Mapping[str, str], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            shlex.split(command),
            env=env,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=parent_death_preexec(),
        )


def _stop(process: "ForkedProcess | subprocess.Popen[bytes]") -> None:
    try:
        process.wait(TIMEOUT.total_seconds())
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
