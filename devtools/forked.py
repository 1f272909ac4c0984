"""The Procfile's processes as forks of one that has imported their programs: they start at once, and share its memory.

A fork has none of its parent's threads, so it may be made only of a process that has no other thread than its main one,
and no open connection: of `make run` itself before it opens any, or else of multiprocessing's fork server.
"""

import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.context import ForkProcess, ForkServerProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, NamedTuple

from runtime.process.child_processes import parent_death_preexec, request_parent_death_signal
from runtime.process.preload import freeze_before_fork

if TYPE_CHECKING:
    from runtime.settings import EncryptedStoreSettings

ROOT = Path(__file__).parent.parent
PROGRAMS = {
    "console": "console.__main__",
    "dashboard": "dashboard.__main__",
    "receiver": "receiver.__main__",
    "worker": "worker.__main__",
    "worker.scheduler": "worker.scheduler",
}
"""What `python -m` names in the Procfile -> module with its function `main`."""
IMPORTED_LATE = ("receiver.server", "receiver.app", "worker.jobs", "operations.runs.executor", "dashboard.rsgi")
"""What the programs import when they run."""
PRELOADED = tuple(module for module in (*PROGRAMS.values(), *IMPORTED_LATE) if not module.startswith("dashboard"))
"""What the fork server imports. Nobody forks the dashboard from it."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Program(NamedTuple):
    """A program to run in a fork.

    Attributes:
        name: what `python -m` calls it, one of `PROGRAMS`.
        arguments: command line without the program's name.
    """

    name: str
    arguments: Sequence[str] = ()


def program_of(command: str) -> Program | None:
    """Return the program of a command of the Procfile; None if it is another one."""
    python, *words = shlex.split(command)
    if python != "python" or words[:1] != ["-m"] or words[1] not in PROGRAMS:
        return None
    return Program(words[1], words[2:])


def preload(settings: "EncryptedStoreSettings") -> None:
    """Import all programs, and what their database and encryption need, into this process, whose forks share them.

    Nothing is opened: an engine imports its driver at once, but connects at its first use.
    """
    from sqlalchemy.orm import configure_mappers  # late: the users of the fork server need neither

    from runtime.settings import build_all

    for module in (*PROGRAMS.values(), *IMPORTED_LATE):
        import_module(module)
    configure_mappers()
    build_all()
    settings.database().close()
    settings.cipher()
    freeze_before_fork()


class ForkedProcess:
    """A program in a fork; in part like `subprocess.Popen`.

    Args:
        program: what to run.
        folder: working directory.
        output: file or terminal to which its standard output and error are appended, or the descriptor of an open one.
        environment: its environment; None for the current one.
        start_new_session: whether to start a new session, as a container has.
        of_this_process: whether to fork this process, after `preload`, instead of the fork server.
    """

    def __init__(
        self,
        program: Program,
        folder: Path,
        output: Path | int,
        environment: Mapping[str, str] | None = None,
        *,
        start_new_session: bool = True,
        of_this_process: bool = False,
    ) -> None:
        environment = dict(os.environ if environment is None else environment)
        if isinstance(output, Path):
            output.touch()
        if not of_this_process:
            start_fork_server()
        end_with_parent = parent_death_preexec() if of_this_process else request_parent_death_signal
        process_type: type[BaseProcess] = ForkProcess if of_this_process else ForkServerProcess
        arguments = (program, environment, folder, output, end_with_parent, start_new_session)
        self._process = process_type(target=_run, args=arguments)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the fork has forgotten our handlers
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None  # noqa: S101 - it was started
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
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()


def start_fork_server() -> None:
    """Start the process that `ForkedProcess` forks, unless it runs; it goes on importing modules meanwhile."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # else it would import from the working directory
    try:
        forkserver.set_forkserver_preload([*PRELOADED])
        with chdir(ROOT):  # it may outlive the current folder
            forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(
    program: Program,
    environment: dict[str, str],
    folder: Path,
    output: Path | int,
    end_with_parent: Callable[[], None] | None,
    start_new_session: bool,
) -> None:
    """Become the program, as if it had been started."""
    if end_with_parent:
        end_with_parent()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if start_new_session:
        os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    tempfile.tempdir = None
    sys.argv[1:] = program.arguments
    sys.orig_argv = [sys.executable, "-m", program.name, *program.arguments]  # for `reexec_without`
    _redirect(output)
    import_module(PROGRAMS[program.name]).main()


def _redirect(output: Path | int) -> None:
    """Make a file or terminal the standard output and error.

    A terminal is opened for reading, too: so it controls the new session, its keys send signals, and its end SIGHUP.
    """
    file = output if isinstance(output, int) else os.open(output, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - open as long as the process is
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
