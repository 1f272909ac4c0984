"""A terminal session as an operator has it: tmux, with one pane that is typed into and read."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROMPT = "$ "
PATIENCE_SECONDS = 90
COLUMNS, LINES, HISTORY = 110, 50, 5000


class Screen:
    """One pane.

    Args:
        name: of the tmux server, so that nobody else's is touched.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def types(self, command: str, *, answers: Mapping[str, str] | None = None) -> str:
        """Types a command, and what its questions want; returns what the screen showed of it when it ended."""
        self._send("clear", "Enter")
        self._wait(lambda text: text.strip() == PROMPT.strip(), "-p")
        self._tmux("clear-history")
        self._send(command, "Enter")
        for question, answer in (answers or {}).items():
            self._wait(lambda text, asked=question: asked in text)
            self._send(answer, "Enter")
        shown = self._wait(lambda text: text.rstrip().endswith("\n" + PROMPT.strip()))
        return "\n".join(line.rstrip() for line in shown.rstrip().removesuffix(PROMPT.strip()).rstrip().splitlines())

    def _wait(self, holds: Callable[[str], bool], *what: str) -> str:
        """Until the screen, and by default all that went out of it at the top, is so."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            text = self._tmux("capture-pane", *(what or ("-p", "-J", "-S", "-")))
            if holds(text):
                return text
            assert time.monotonic() < until, text
            time.sleep(0.1)

    def _send(self, text: str, key: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", key)

    def _tmux(self, *words: str) -> str:
        return tmux(self._name, *words)


@contextmanager
def screen(name: str, folder: Path, env: Mapping[str, str]) -> Iterator[Screen]:
    """A shell in a folder, until the block ends."""
    wanted = {**env, "PS1": PROMPT, "TERM": "screen-256color"}
    shell = " ".join(["env", "-i", *(shlex.quote(f"{key}={value}") for key, value in wanted.items()), "sh"])
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    tmux(name, "-f", os.devnull, "new-session", "-d", *size, "-c", str(folder), shell)
    tmux(name, "set-option", "-g", "history-limit", str(HISTORY))
    try:
        yield Screen(name)
    finally:
        tmux(name, "kill-server")


def tmux(name: str, *words: str) -> str:
    return subprocess.run(["tmux", "-L", name, *words], capture_output=True, text=True, check=True).stdout


def plain(text: str) -> str:
    """Without what a line was padded with."""
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
