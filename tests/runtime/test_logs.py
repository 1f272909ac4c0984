"""Untrusted text in a log cannot control the terminal."""

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from threading import Thread

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


def pipe() -> tuple[int, int]:
    return os.pipe()


def socket_pair() -> tuple[int, int]:
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.mark.parametrize("connect", [pipe, socket_pair])  # Docker has pipes, journald sockets
def test_a_log_that_nobody_reads_blocks_no_process(
    connect: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = connect()
    with os.fdopen(writer, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        logs.configure()
        writing = Thread(target=log_much, daemon=True)
        writing.start()
        writing.join(60)
        assert not writing.is_alive()
        unread = os.read(reader, 2**20)
        structlog.get_logger().info("read.again")
        logging.getLogger("somebody").warning("read again")
        dropped, own, foreign = map(json.loads, os.read(reader, 2**20).splitlines())
    os.close(reader)
    assert dropped["event"] == "log.dropped"
    assert dropped["lines"] > 0
    assert (own["event"], foreign["event"]) == ("read.again", "read again")
    assert len(unread) > 2**12


def log_much() -> None:
    for _ in range(1000):
        structlog.get_logger().info("line", text="x" * 200)
    structlog.get_logger().error("long", traceback="x" * 2**18)
    logging.getLogger("somebody").warning("x" * 200)


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
