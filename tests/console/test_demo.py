"""`make demo` comes out as promised, and would notice if it did not."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from devtools.demo import command
from devtools.demo.scenario import story


def play() -> tuple[bool, str]:
    screen = io.StringIO()
    return command.play(Console(file=screen, width=100)), screen.getvalue()


def test_the_story_comes_out_as_promised() -> None:
    kept, screen = play()
    assert kept, screen
    assert "All as promised" in screen
    assert "signature verified" in screen


def test_a_promise_that_is_not_kept_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def another_promise(*args: Any) -> Any:
        first = next(iter(story(*args)))
        return [replace(first, becomes="booking cancelled")]

    monkeypatch.setattr(command, "story", another_promise)
    kept, screen = play()
    assert not kept
    assert "NOT as promised" in screen
