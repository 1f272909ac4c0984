"""Whoever is slow, silent or many holds up nobody else: raw bytes to a real process."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from receiver.__main__ import CONNECTIONS, HEAD_DEADLINE
from receiver.async_front import BODY_DEADLINE
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.process import Process, hear, receiver_process, request

HALF_BODIES, DRIPPING, IDLE, ASKERS = 100, 20, 1_100, 100
SLACK_SECONDS = 15
"""Others use this machine too; the fault rows look whether it is quick enough."""
BODY = payload("booking_created")
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
KEEPALIVE_TIMER = "02"


class Crowd:
    """Strangers, and some who know the address, and nobody says all that he has to say."""

    def __init__(self, server: Process, stack: ExitStack) -> None:
        self._server, self._stack = server, stack
        self.halves = [self._call(request(LENGTH, last=False) + BODY[:20]) for _ in range(HALF_BODIES)]
        self.chunked = [self._call(request(CHUNKED, last=False) + b"5\r\n{1") for _ in range(3)]
        self.heads = [self._call(request(LENGTH, last=False)[:30]) for _ in range(DRIPPING)]
        self.idle = [self._call(b"") for _ in range(IDLE)]
        self.answered = [self._call(request(method="GET", path="/healthz", last=False)) for _ in range(3)]

    def _call(self, words: bytes) -> socket.socket:
        line = self._stack.enter_context(self._server.call())
        line.sendall(words)
        return line

    def drip(self) -> None:
        """One byte more of each head that is not whole."""
        for line in self.heads:
            with suppress(OSError):  # it was dropped
                line.sendall(b"x")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Process]:
    with receiver_process(tmp_path_factory.mktemp("receiver"), redis_url) as process:
        yield process


def ask(server: Process, path: str) -> bytes:
    return server.say(request(method="GET", path=path))


def closed(lines: list[socket.socket]) -> list[socket.socket]:
    """Which of them have ended, or said something."""
    poll = select.poll()
    by_number = {line.fileno(): line for line in lines}
    for line in lines:
        poll.register(line, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(0)]


def test_nobody_waits_for_those_who_are_slow_or_silent_and_all_of_them_are_dropped(server: Process) -> None:
    with ExitStack() as stack:
        started = time.monotonic()
        crowd = Crowd(server, stack)
        opened = time.monotonic() - started
        assert ask(server, "/healthz").startswith(b"HTTP/1.1 200 ")
        assert ask(server, "/readyz").startswith(b"HTTP/1.1 200 ")
        assert server.say(request(LENGTH), BODY).startswith(b"HTTP/1.1 200 ")
        assert server.stored() == [BODY]
        if opened < BODY_DEADLINE.total_seconds() / 2:
            assert time.monotonic() - started < BODY_DEADLINE.total_seconds(), "it waited until others had given up"
        waited = [*crowd.halves, *crowd.chunked, *crowd.heads, *crowd.idle]
        until = time.monotonic() + max(BODY_DEADLINE, HEAD_DEADLINE).total_seconds() + SLACK_SECONDS
        while len(closed(waited)) < len(waited) and time.monotonic() < until:
            crowd.drip()
            time.sleep(0.5)
        assert len(closed(waited)) == len(waited)
        answers = [hear(line) for line in (*crowd.halves, *crowd.chunked)]
        assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
        assert all(answer.endswith(b'"reason":"body too slow"}') for answer in answers)
        assert all(b" 200 " not in hear(line) for line in (*crowd.heads, *crowd.idle))
        assert all(hear(line).startswith(b"HTTP/1.1 200 ") for line in crowd.answered)  # and it was closed after that
    assert server.stored() == [BODY]


def test_there_is_room_for_more_lines_than_a_crowd_has(server: Process) -> None:
    assert CONNECTIONS >= 3 * IDLE
    limit = Path(f"/proc/{server.popen.pid}/limits").read_text()
    [files] = [line.split()[3] for line in limit.splitlines() if line.startswith("Max open files")]
    assert files == "unlimited" or int(files) > CONNECTIONS


def test_a_machine_that_vanishes_is_noticed_by_tcp(server: Process) -> None:
    with server.call() as line:
        line.sendall(request(method="GET", path="/healthz", last=False))
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        theirs = f"{socket.ntohl(int.from_bytes(socket.inet_aton('127.0.0.1'), 'big')):08X}:{line.getsockname()[1]:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        [timer] = [row[5] for row in rows if row[2] == theirs]
        assert timer.startswith(KEEPALIVE_TIMER)


@pytest.mark.parametrize("scheme", ["standard", "timestamped", "hex", "base64"])
def test_without_a_signature_no_body_is_waited_for(tmp_path: Path, redis_url: str, scheme: str) -> None:
    settings = dict(WEBHOOK_SIGNATURE_SCHEME=scheme, WEBHOOK_SIGNATURE_SECRETS="c2VjcmV0" * 4)
    with receiver_process(tmp_path, redis_url, **settings) as server:
        for path, headers, status in (
            (ADDRESS, [], b"401"),
            (ADDRESS, ["webhook-signature: t=1,v1=xx", "x-signature: ?", "x-hub-signature-256: abcd"], b"401"),
            (ADDRESS.rpartition("/")[0], [], b"404"),
        ):
            with server.call() as line:
                line.sendall(request(LENGTH, *headers, path=path, last=False))
                assert hear(line).startswith(b"HTTP/1.1 " + status)  # and the line is closed, long before the deadline


def test_a_crowd_that_asks_for_readiness_beside_a_silent_database_is_answered(tmp_path: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = dict(DATABASE_URL=f"postgresql://user:password@127.0.0.1:{silent.getsockname()[1]}/inbox")
        with receiver_process(tmp_path, redis_url, **settings) as server, ExitStack() as stack:
            lines = [stack.enter_context(server.call()) for _ in range(ASKERS)]
            for line in lines:
                line.sendall(request(method="GET", path="/readyz"))
            assert ask(server, "/healthz").startswith(b"HTTP/1.1 200 ")
            said = {hear(line).rpartition(b"\r\n")[2] for line in lines}
            assert said == {b'{"status":"ready","database":"failing","redis":"ok"}'}


def test_the_address_may_go_without_a_token_only_if_a_setting_says_so(make_app: MakeApp) -> None:
    signed = {"webhook_signature_scheme": "hex", "webhook_signature_secrets": ["s" * 32]}
    path = ADDRESS.rpartition("/")[0]
    assert make_app(**signed).test_client().post(path, data=BODY).status_code == 404
    assert make_app(**signed, webhook_address_optional=True).test_client().post(path, data=BODY).status_code == 401
