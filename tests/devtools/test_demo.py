"""`make demo` has the expected outcomes, and fails otherwise."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from devtools.demo import command
from devtools.demo.scenario import scenario


def run_demo() -> tuple[bool, str]:
    screen = io.StringIO()
    return command.run_demo(Console(file=screen, width=100)), screen.getvalue()


def test_the_demo_comes_out_as_expected() -> None:
    as_expected, screen = run_demo()
    assert as_expected, screen
    assert "All as promised" in screen
    assert "signature verified" in screen


def test_an_unexpected_outcome_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def another_promise(*args: Any) -> Any:
        first = next(iter(scenario(*args)))
        return [replace(first, expected="booking cancelled")]

    monkeypatch.setattr(command, "scenario", another_promise)
    as_expected, screen = run_demo()
    assert not as_expected
    assert "NOT as promised" in screen
