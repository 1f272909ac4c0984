"""tmux with a shell: an operator's input and screen."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

COLUMNS, LINES = 100, 40
TIMEOUT_SECONDS = 180
"""Seconds. Test machines may be slow."""
PROMPT = "$"


class Tmux:
    """Windows with a bash each; one is the operator's."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, {**env, "PS1": f"{PROMPT} ", "HISTFILE": "", "TERM": "xterm-256color"}
        self._name = f"inbox-{uuid.uuid4().hex[:12]}"

    def open(self, window: str) -> None:
        """Open a window with a shell."""
        shell, size = ["bash", "--norc", "--noprofile"], ["-x", str(COLUMNS), "-y", str(LINES)]
        if window == "operator":
            self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "harness", "-n", window, *size, *shell)
        else:
            self._tmux("new-window", "-d", "-t", "harness:", "-n", window, *shell)
        self.wait(window, lambda shown: shown == PROMPT)

    def type(self, window: str, line: str) -> None:
        """Type a line and press return."""
        self._tmux("send-keys", "-t", f"harness:{window}", "-l", line)
        self._tmux("send-keys", "-t", f"harness:{window}", "Enter")

    def press(self, window: str, key: str) -> None:
        """Press one key, such as `C-c`."""
        self._tmux("send-keys", "-t", f"harness:{window}", key)

    def clear(self, window: str) -> None:
        """Clear the screen."""
        self._tmux("send-keys", "-R", "-t", f"harness:{window}")
        self._tmux("clear-history", "-t", f"harness:{window}")
        self.press(window, "Enter")
        self.wait(window, lambda shown: shown.strip() == PROMPT)

    def screen(self, window: str) -> str:
        """Return the screen with its scrollback."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-t", f"harness:{window}").rstrip()

    def wait(self, window: str, condition: Callable[[str], object]) -> str:
        """Wait until the screen fulfils a condition; return the screen."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while not condition(shown := self.screen(window)):
            assert time.monotonic() < until, f"the screen of {window} shows:\n{shown}"
            time.sleep(0.2)
        return shown

    def run(self, command: str, answers: Mapping[str, str] | None = None) -> str:
        """Type a command in the operator's window and answer its prompts; return the screen when it is done."""
        self.clear("operator")
        self.type("operator", command)
        for question, answer in (answers or {}).items():
            self.wait("operator", lambda shown, question=question: question in shown)  # type: ignore[misc]
            self.type("operator", answer)
        return self.wait("operator", _is_done).removesuffix(PROMPT).strip()

    def interrupt(self, window: str) -> None:
        """Press Ctrl-C, and wait for the prompt."""
        self.press(window, "C-c")
        self.wait(window, lambda shown: shown.splitlines()[-1] in (PROMPT, f"^C{PROMPT}"))

    def close(self) -> None:
        """End everything that runs in it."""
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, *words],
            env=self._env,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _is_done(shown: str) -> bool:
    """Whether a command has run and the shell waits again."""
    return shown.strip() != PROMPT and shown.splitlines()[-1] == PROMPT


def is_there() -> bool:
    """Whether tmux is installed."""
    return shutil.which("tmux") is not None


@contextmanager
def tmux(folder: Path, env: Mapping[str, str]) -> Iterator[Tmux]:
    """Open a session in a folder until the block ends; then end what runs in it."""
    session = Tmux(folder, env)
    try:
        session.open("operator")
        yield session
    finally:
        session.close()
