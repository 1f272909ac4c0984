"""A unit of systemd, run as far as a test needs it: its command, environment and credentials, and `Restart=always`."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread


def read_unit(path: Path) -> dict[str, list[str]]:
    """Directive -> its values."""
    directives: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            directives.setdefault(name, []).append(value)
    return directives


class Service:
    """Runs a unit's command, and again after RestartSec whenever it ended, until `stop`."""

    def __init__(self, unit: Path, folder: Path) -> None:
        self.directives = read_unit(unit)
        self.log = folder / f"{unit.stem}.log"
        self._credentials = folder / f"{unit.stem}.credentials"
        self._stopped = Event()
        self._process = self._start()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """What systemd gives: nothing of ours but the unit's own."""
        env = {"PATH": "/usr/bin:/bin"}
        (file,) = self.directives["EnvironmentFile"]
        for line in Path(file).read_text().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.partition("=")
                env[name] = value
        self._credentials.mkdir(exist_ok=True)
        for credential in self.directives["LoadCredential"]:
            name, _, source = credential.partition(":")
            shutil.copy(source, self._credentials / name)
        for assignments in self.directives["Environment"]:
            for assignment in shlex.split(assignments.replace("%d", str(self._credentials))):
                name, _, value = assignment.partition("=")
                env[name] = value
        return env

    def kill(self) -> int:
        """Kill the main process as `kill -9` does, and return the pid of the one that replaces it."""
        killed = self.pid
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while self.pid == killed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self.pid

    def stop(self) -> None:
        self._stopped.set()
        self._process.terminate()
        self._process.wait(60)
        self._thread.join(60)

    def _start(self) -> "subprocess.Popen[bytes]":
        (command,) = self.directives["ExecStart"]
        (folder,) = self.directives["WorkingDirectory"]
        with self.log.open("ab") as out:
            return subprocess.Popen(
                shlex.split(command), cwd=folder, env=self.environment(), stdout=out, stderr=out, start_new_session=True
            )

    def _watch(self) -> None:
        assert self.directives["Restart"] == ["always"]
        while True:
            self._process.wait()
            if self._stopped.wait(float(self.directives["RestartSec"][0])):
                return
            self._process = self._start()


@contextmanager
def services(units: list[Path], folder: Path) -> Iterator[dict[str, Service]]:
    running = {unit.stem.removeprefix("meetergo-inbox-"): Service(unit, folder) for unit in units}
    try:
        yield running
    finally:
        for service in running.values():
            service.stop()
