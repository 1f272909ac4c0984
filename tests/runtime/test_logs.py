"""Untrusted text in a log cannot control the terminal."""

import json
import logging
import os
import re
import select
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from io import StringIO
from threading import Thread

import pytest
import structlog

from models.account import DEFAULT
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


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("count", [1, 100])
def test_a_line_for_each_id_is_the_line_of_a_single_one(
    count: int, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{number:064x}" for number in range(count)]
    lines = logged(
        monkeypatch,
        lambda: logs.info_for_each("delivery.accepted", "delivery_id", ids, account="berlin"),
        is_terminal=is_terminal,
    )
    [line] = logged(
        monkeypatch,
        lambda: structlog.get_logger().info("delivery.accepted", delivery_id=ids[0], account="berlin"),
        is_terminal=is_terminal,
    )
    expected = [_without_time(line).replace(ids[0], each) for each in ids]
    assert [_without_time(each) for each in lines] == expected


def test_a_line_names_the_account_unless_it_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        for account in (DEFAULT, "berlin"):
            structlog.get_logger().info("delivery.done", account=account)
            logs.info_for_each("delivery.accepted", "delivery_id", ["a", "b"], account=account)

    lines = logged(monkeypatch, write, is_terminal=False)
    assert [json.loads(line).get("account") for line in lines] == [None] * 3 + ["berlin"] * 3


def _without_time(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", line)


def test_many_lines_are_written_in_parts_that_a_pipe_takes_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    logs.configure()
    monkeypatch.setattr(logs.stderr_logger, "write", written.append)
    logs.info_for_each("delivery.accepted", "delivery_id", [f"{number:064x}" for number in range(100)])
    assert 1 < len(written) < 10
    assert all(len(part) <= select.PIPE_BUF and part.endswith("\n") for part in written)
    assert "".join(written).count("\n") == 100


def test_below_the_level_nothing_is_written_for_any_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        logs.silence()
        logs.info_for_each("delivery.accepted", "delivery_id", ["a", "b"])

    assert logged(monkeypatch, write) == []


def test_a_warning_of_a_library_is_one_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure()
        try:
            warnings.warn("not supported", UserWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)
    (line,) = capfd.readouterr().err.splitlines()
    assert "not supported" in json.loads(line)["event"]
