"""tmux, with a shell in it: what an operator types, and what the screen shows then."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

COLUMNS, LINES = 100, 40
TIMEOUT_SECONDS = 180
"""Two cores may be shared by many."""
PROMPT = "$"


class Tmux:
    """Windows, each with a bash; one is for the operator."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, {**env, "PS1": f"{PROMPT} ", "HISTFILE": "", "TERM": "xterm-256color"}
        self._name = f"inbox-{uuid.uuid4().hex[:12]}"

    def open(self, window: str) -> None:
        """A new window with a shell that waits."""
        shell, size = ["bash", "--norc", "--noprofile"], ["-x", str(COLUMNS), "-y", str(LINES)]
        if window == "operator":
            self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "harness", "-n", window, *size, *shell)
        else:
            self._tmux("new-window", "-d", "-t", "harness:", "-n", window, *shell)
        self.wait(window, lambda shown: shown == PROMPT)

    def type(self, window: str, line: str) -> None:
        """Types a line, and the return key."""
        self._tmux("send-keys", "-t", f"harness:{window}", "-l", line)
        self._tmux("send-keys", "-t", f"harness:{window}", "Enter")

    def press(self, window: str, key: str) -> None:
        """Presses one key, such as `C-c`."""
        self._tmux("send-keys", "-t", f"harness:{window}", key)

    def clear(self, window: str) -> None:
        """An empty screen with a prompt."""
        self._tmux("send-keys", "-R", "-t", f"harness:{window}")
        self._tmux("clear-history", "-t", f"harness:{window}")
        self.press(window, "Enter")
        self.wait(window, lambda shown: shown.strip() == PROMPT)

    def screen(self, window: str) -> str:
        """What is shown, and what was scrolled away since it was cleared."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-t", f"harness:{window}").rstrip()

    def wait(self, window: str, condition: Callable[[str], object]) -> str:
        """Looks at the screen until it is so; what is shown then."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while not condition(shown := self.screen(window)):
            assert time.monotonic() < until, f"the screen of {window} shows:\n{shown}"
            time.sleep(0.1)
        return shown

    def run(self, command: str, answers: Mapping[str, str] | None = None) -> str:
        """Types a command in the operator's window and answers its questions; what is shown when it is done."""
        self.clear("operator")
        self.type("operator", command)
        for question, answer in (answers or {}).items():
            self.wait("operator", lambda shown, question=question: question in shown)  # type: ignore[misc]
            self.type("operator", answer)
        return self.wait("operator", _is_done).removesuffix(PROMPT).strip()

    def interrupt(self, window: str) -> None:
        """Presses Ctrl-C, and waits until the shell is back."""
        self.press(window, "C-c")
        self.wait(window, lambda shown: shown.splitlines()[-1] in (PROMPT, f"^C{PROMPT}"))

    def close(self) -> None:
        """Ends all that runs in it."""
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
    """Whether something was typed, and the shell waits again."""
    return shown.strip() != PROMPT and shown.splitlines()[-1] == PROMPT


def is_there() -> bool:
    """Whether it is installed."""
    return shutil.which("tmux") is not None


@contextmanager
def tmux(folder: Path, env: Mapping[str, str]) -> Iterator[Tmux]:
    """A session in a folder, until the block ends; what runs in it then is ended."""
    session = Tmux(folder, env)
    try:
        session.open("operator")
        yield session
    finally:
        session.close()
