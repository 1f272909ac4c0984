"""Untrusted text in a log cannot control the terminal."""

import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
import structlog

from runtime import logs

HOSTILE_VALUE = "b1\x1b[2J\x1b]0;title\x07\r\nfake line\x9b31m\u202egnol\x7f"


class Terminal(StringIO):
    """A stream that keeps what is written."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


def logged(monkeypatch: pytest.MonkeyPatch, write: Callable[[], None], *, is_terminal: bool = True) -> list[str]:
    """Return the lines without our colours."""
    terminal = Terminal()
    monkeypatch.setattr(terminal, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure()
    write()
    return strip_colours(terminal.getvalue()).splitlines()


def strip_colours(text: str) -> str:
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", *(f"\x1b[{number}m" for number in range(30, 40))):
        text = text.replace(code, "")
    return text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_value_is_one_line_without_escapes(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        structlog.get_logger().info("notification.logged", booking_id=HOSTILE_VALUE)
        logging.getLogger("somebody").warning("said %s", HOSTILE_VALUE)

    lines = logged(monkeypatch, write, is_terminal=is_terminal)
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert "fake line" in line
