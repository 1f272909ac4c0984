"""The demo: every step has the expected outcome, and any other outcome fails it. `.ci/run` runs `make demo` itself."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from devtools.demo import command
from devtools.demo.scenario import NOTIFICATIONS, scenario

WRONG = "something that does not happen"


def test_the_demo_notices_the_one_step_with_an_unexpected_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def with_a_wrong_expectation(*arguments: Any) -> Any:
        nonlocal steps
        first, *others = scenario(*arguments)
        steps = 1 + len(others)
        return [replace(first, expected=WRONG), *others]

    monkeypatch.setattr(command, "scenario", with_a_wrong_expectation)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # the proxy of a company must not get what stays here
    screen = io.StringIO()
    assert command.run_demo(Console(file=screen, width=100)) is False
    shown = screen.getvalue()
    assert shown.count("NOT as promised") == 2  # the step, and the whole
    assert len(re.findall(r"\bok\b", shown)) == steps - 1 + len(NOTIFICATIONS) + 1, shown  # the log's; second client
    assert shown.count("signature verified") == len(NOTIFICATIONS)
