"""Run commands on a pty, as an operator's shell does."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from devtools.forked import ForkedProcess, Program
from devtools.processes import ROOT

TIMEOUT_SECONDS = 60
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """The output of a command on a terminal, while it runs."""

    def __init__(self, process: ForkedProcess, screen: int) -> None:
        self._process, self._screen = process, screen
        self.raw = ""

    @property
    def text(self) -> str:
        """The output without colours."""
        return CODES.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, words: str) -> None:
        """Read until a text appears."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while words not in self.text:
            assert time.monotonic() < until, self.text
            self._read(0.1)

    def press_ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")

    def close(self) -> None:
        """Close the window: its process gets SIGHUP, and can print no more."""
        os.close(self._screen)

    def end(self) -> int:
        """Read the rest; return the exit code."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while (returncode := self._process.poll()) is None:
            assert time.monotonic() < until, self.text
            self._read(0.02)
        while self._read(0):
            pass
        return returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        try:
            read = os.read(self._screen, 65536)
        except OSError:
            return False
        self.raw += read.decode()
        return bool(read)


@contextlib.contextmanager
def terminal(*words: str, columns: int = 80) -> Iterator[Terminal]:
    """Run a command on a terminal of this width, in this folder and environment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "NO_COLOR"):
        environment.pop(name, None)
    screen, line = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = ForkedProcess(Program("console", words), Path.cwd(), Path(os.ttyname(line)), environment)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(line)
        with contextlib.suppress(OSError):
            os.close(screen)
