"""Processes forked from one that has imported their program: Python and the imports take a second of CPU time each."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, get_context
from pathlib import Path
from unittest.mock import patch

from devtools.processes import ROOT


class ForkedProcess:
    """A program in a process of its own, with the current environment; in part like `subprocess.Popen`.

    It shares nothing with this process, not even its threads or connections, but its imports are done.

    Args:
        main: the program's function, by module and name.
        arguments: command line without the program's name.
        folder: working directory.
        log: file to which output is appended.
        start_new_session: whether to start a new session, as a container has.
    """

    def __init__(
        self, main: Callable[[], None], arguments: Sequence[str], folder: Path, log: Path, *, start_new_session: bool
    ) -> None:
        log.touch()
        environment = dict(os.environ)
        with patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # else it would import from the working directory
            forkserver.set_forkserver_preload([main.__module__])
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
        """Wait until it ends; return what `poll` does."""
        self._process.join(timeout)
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
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    sys.argv[1:] = arguments
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    main()
