"""Processes forked from one that has imported their program: Python and the imports take a second of CPU time each."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing import forkserver, get_context
from pathlib import Path
from signal import SIGTERM
from subprocess import TimeoutExpired
from unittest.mock import patch

from devtools.processes import ROOT
from runtime.process.child_processes import SET_PARENT_DEATH_SIGNAL, _libc

MODULES = {"receiver": "receiver.__main__", "worker": "worker.__main__", "worker.scheduler": "worker.scheduler"}
PRELOADED = (*MODULES.values(), "receiver.server")


def start(command: str, environment: Mapping[str, str], folder: Path, log: Path) -> ForkedProcess | None:
    """Start a command of the Procfile, in a session of its own; None if it is none that can be forked.

    Args:
        command: command line.
        environment: its whole environment.
        folder: working directory.
        log: file to which output is appended.
    """
    python, _, module, *arguments = shlex.split(command)
    if module == "receiver":  # it would start itself again, without the key
        environment = {name: value for name, value in environment.items() if name != "MEETERGO_API_KEY"}
    starts_itself_again = module == "worker" and environment.get("MEETERGO_API_KEY")
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    has_customized_start = any((Path(each) / "sitecustomize.py").exists() for each in folders if each)
    if python != "python" or module not in MODULES or starts_itself_again or has_customized_start:
        return None
    main = import_module(MODULES[module]).main
    return ForkedProcess(main, arguments, folder, log, start_new_session=True, environment=environment)


class ForkedProcess:
    """A program in a process of its own; in part like `subprocess.Popen`.

    It shares nothing with this process, not even its threads or connections, but its imports are done.

    Args:
        main: the program's function, by module and name.
        arguments: command line without the program's name.
        folder: working directory.
        log: file to which output is appended.
        start_new_session: whether to start a new session, as a container has.
        environment: its environment; None for the current one.
    """

    def __init__(
        self,
        main: Callable[[], None],
        arguments: Sequence[str],
        folder: Path,
        log: Path,
        *,
        start_new_session: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        log.touch()
        environment = dict(os.environ if environment is None else environment)
        with patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # else it would import from the working directory
            forkserver.set_forkserver_preload([*PRELOADED, main.__module__])
            forkserver.ensure_running()
        self._process = get_context("forkserver").Process(
            target=_run, args=(main, arguments, folder, log, environment, start_new_session)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it ends; return what `poll` does.

        Raises:
            TimeoutExpired: it goes on.
        """
        self._process.join(timeout)
        if self.poll() is None:
            raise TimeoutExpired(str(self._process.name), timeout or 0)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _run(
    main: Callable[[], None],
    arguments: Sequence[str],
    folder: Path,
    log: Path,
    environment: dict[str, str],
    start_new_session: bool,
) -> None:
    if start_new_session:
        os.setsid()
    if _libc is not None:
        _libc.prctl(SET_PARENT_DEATH_SIGNAL, int(SIGTERM))  # a killed pytest leaves nothing behind
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    tempfile.tempdir = None
    sys.argv[1:] = arguments
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    main()
