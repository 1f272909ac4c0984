"""A tracer: which of our files a piece of work enters, in order, and how deep its calls go."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).parents[1]
PACKAGES = ("meetergo", "runtime", "models", "receiver", "worker")


@dataclass
class Trace:
    """One stretch of the path.

    Attributes:
        first: the function whose call starts the trace, by its qualified name.
        last: the function whose call ends it, if `end` does not.
        files: the files entered, each once, in order, with the function that was called there first.
        deepest: the largest stack of our frames in any thread, outermost first.
    """

    first: str
    last: str = ""
    files: dict[str, str] = field(default_factory=dict)
    deepest: list[str] = field(default_factory=list)
    _is_on: bool = False
    _has_ended: bool = False
    _known: dict[CodeType, str | None] = field(default_factory=dict, repr=False)

    def call(self, frame: FrameType) -> None:
        """Record a call: of a function, a lambda or a comprehension, or a generator or coroutine that goes on."""
        file, name = self._file(frame.f_code), frame.f_code.co_qualname
        if file is None or self._has_ended:
            return
        self._is_on = self._is_on or name == self.first
        if self._is_on:
            self.files.setdefault(file, name)
            self.deepest = max(self.deepest, self._stack(frame), key=len)
            self._has_ended = name == self.last

    def end(self) -> None:
        """Record no more."""
        self._has_ended = True

    def __str__(self) -> str:
        lines = [f"from {self.first}: {len(self.files)} files, {len(self.deepest)} frames deep"]
        lines += [f"  {file}: {name}" for file, name in self.files.items()]
        return "\n".join([*lines, "  deepest:", *(f"    {name}" for name in self.deepest)])

    def _stack(self, frame: FrameType | None) -> list[str]:
        names: list[str] = []
        while frame is not None:
            if file := self._file(frame.f_code):
                names.append(f"{file}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        return names[::-1]

    def _file(self, code: CodeType) -> str | None:
        """The path of a file of our packages, or None."""
        if code not in self._known:
            path = Path(code.co_filename)
            parts = path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else ("",)
            self._known[code] = "/".join(parts) if parts[0] in PACKAGES else None
        return self._known[code]


@contextmanager
def tracing(first: str, last: str = "") -> Iterator[Trace]:
    """Trace this thread and those that start within the block."""
    trace = Trace(first, last)

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            trace.call(frame)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield trace
    finally:
        trace.end()
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type] # None ends it, as it does for sys
