"""The supervisor: receiver, worker and cron as real processes, restarted when they die."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread

from devtools import processes
from devtools.processes import commands

LOOKS_EVERY_SECONDS = 0.2
PATIENCE_SECONDS = 25


class ProcessSupervisor:
    """Processes by their Procfile names.

    Args:
        env: their environment.
        folder: where they print.
        overrides: name -> command, for those that run another than the Procfile's.
        names: which run.

    Attributes:
        env: their environment.
        had_to_kill: who had to be killed in the end.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        folder: Path,
        overrides: Mapping[str, str],
        names: Sequence[str] = processes.PROCESSES,
    ) -> None:
        self.env, self._folder = env, folder
        self._commands = {name: commands()[name] for name in names} | dict(overrides)
        self._closing, self._lock = Event(), Lock()
        self.had_to_kill: list[str] = []
        self._running = {name: self._start(name) for name in self._commands}
        self._supervisor = Thread(target=self._supervise)
        self._supervisor.start()

    def main(self, name: str) -> int:
        """Return the pid of a process."""
        with self._lock:
            return self._running[name].pid

    def children(self, name: str) -> list[int]:
        """Return the pids of its children, oldest first."""
        return children(self.main(name))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Signal a process with its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.main(name), number)

    def log(self, name: str) -> Path:
        """Return its output."""
        return self._folder / f"{name}.log"

    def close(self) -> None:
        """Stop all cleanly; kill and record those that do not stop in time."""
        self._closing.set()
        self._supervisor.join()
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.had_to_kill.append(name)
            _end(process)

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                shlex.split(self._commands[name]),
                env=dict(self.env),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while not self._closing.wait(LOOKS_EVERY_SECONDS):
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    _end(process)
                    with self._lock:
                        self._running[name] = self._start(name)


@contextmanager
def supervised(
    env: Mapping[str, str], folder: Path, overrides: Mapping[str, str], names: Sequence[str] = processes.PROCESSES
) -> Iterator[ProcessSupervisor]:
    """Run a supervisor until the block ends."""
    supervisor = ProcessSupervisor(env, folder, overrides, names)
    try:
        yield supervisor
    finally:
        supervisor.close()


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, oldest first."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what a dead process leaves behind, as in a container or under systemd."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
