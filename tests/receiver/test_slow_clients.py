"""Slow, silent or many clients hold up no other: raw bytes to a real process."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from receiver.server import HEADER_TIMEOUT, MAX_CONNECTIONS
from receiver.webhook import BODY_TIMEOUT
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.process import Process, read_all, receiver_process, request

HALF_BODY_CLIENTS, DRIPPING_CLIENTS, IDLE_CLIENTS, READYZ_CLIENTS = 100, 20, 1_100, 100
SLACK_SECONDS = 15
"""Others use this machine too; the fault rows look whether it is quick enough."""
BODY = payload("booking_created")
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
KEEPALIVE_TIMER = "02"


class SlowClients:
    """Strangers, and some who know the address, and nobody says all that he has to say."""

    def __init__(self, server: Process, stack: ExitStack) -> None:
        self._server, self._stack = server, stack
        self.halves = [self._call(request(LENGTH, last=False) + BODY[:20]) for _ in range(HALF_BODY_CLIENTS)]
        self.chunked = [self._call(request(CHUNKED, last=False) + b"5\r\n{1") for _ in range(3)]
        self.heads = [self._call(request(LENGTH, last=False)[:30]) for _ in range(DRIPPING_CLIENTS)]
        self.idle = [self._call(b"") for _ in range(IDLE_CLIENTS)]
        self.answered = [self._call(request(method="GET", path="/healthz", last=False)) for _ in range(3)]

    def _call(self, data: bytes) -> socket.socket:
        connection = self._stack.enter_context(self._server.connect())
        connection.sendall(data)
        return connection

    def drip(self) -> None:
        """One byte more of each head that is not whole."""
        for connection in self.heads:
            with suppress(OSError):  # it was dropped
                connection.sendall(b"x")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Process]:
    with receiver_process(tmp_path_factory.mktemp("receiver"), redis_url) as process:
        yield process


def ask(server: Process, path: str) -> bytes:
    return server.send_raw(request(method="GET", path=path))


def closed(connections: list[socket.socket]) -> list[socket.socket]:
    """Which of them have ended, or said something."""
    poll = select.poll()
    by_number = {connection.fileno(): connection for connection in connections}
    for connection in connections:
        poll.register(connection, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(0)]


def test_nobody_waits_for_those_who_are_slow_or_silent_and_all_of_them_are_dropped(server: Process) -> None:
    with ExitStack() as stack:
        started = time.monotonic()
        clients = SlowClients(server, stack)
        opened = time.monotonic() - started
        assert ask(server, "/healthz").startswith(b"HTTP/1.1 200 ")
        assert ask(server, "/readyz").startswith(b"HTTP/1.1 200 ")
        assert server.send_raw(request(LENGTH), BODY).startswith(b"HTTP/1.1 200 ")
        assert server.stored() == [BODY]
        if opened < BODY_TIMEOUT.total_seconds() / 2:
            assert time.monotonic() - started < BODY_TIMEOUT.total_seconds(), "it waited until others had given up"
        waiting = [*clients.halves, *clients.chunked, *clients.heads, *clients.idle]
        until = time.monotonic() + max(BODY_TIMEOUT, HEADER_TIMEOUT).total_seconds() + SLACK_SECONDS
        while len(closed(waiting)) < len(waiting) and time.monotonic() < until:
            clients.drip()
            time.sleep(0.5)
        assert len(closed(waiting)) == len(waiting)
        responses = [read_all(connection) for connection in (*clients.halves, *clients.chunked)]
        assert {response.split(b"\r\n")[0] for response in responses} == {b"HTTP/1.1 408 Request Timeout"}
        assert all(response.endswith(b'"reason":"body too slow"}') for response in responses)
        assert all(b" 200 " not in read_all(connection) for connection in (*clients.heads, *clients.idle))
        assert all(
            read_all(connection).startswith(b"HTTP/1.1 200 ") for connection in clients.answered
        )  # and it was closed after that
    assert server.stored() == [BODY]


def test_there_is_room_for_more_connections_than_the_slow_clients_hold(server: Process) -> None:
    assert MAX_CONNECTIONS >= 3 * IDLE_CLIENTS
    limit = Path(f"/proc/{server.popen.pid}/limits").read_text()
    [files] = [connection.split()[3] for connection in limit.splitlines() if connection.startswith("Max open files")]
    assert files == "unlimited" or int(files) > MAX_CONNECTIONS


def test_a_machine_that_vanishes_is_noticed_by_tcp(server: Process) -> None:
    with server.connect() as connection:
        connection.sendall(request(method="GET", path="/healthz", last=False))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        loopback = socket.ntohl(int.from_bytes(socket.inet_aton("127.0.0.1"), "big"))
        theirs = f"{loopback:08X}:{connection.getsockname()[1]:04X}"
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
            with server.connect() as connection:
                connection.sendall(request(LENGTH, *headers, path=path, last=False))
                assert read_all(connection).startswith(
                    b"HTTP/1.1 " + status
                )  # and the line is closed, long before the deadline


def test_many_readiness_requests_beside_a_silent_database_are_answered(tmp_path: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = dict(DATABASE_URL=f"postgresql://user:password@127.0.0.1:{silent.getsockname()[1]}/inbox")
        with receiver_process(tmp_path, redis_url, **settings) as server, ExitStack() as stack:
            connections = [stack.enter_context(server.connect()) for _ in range(READYZ_CLIENTS)]
            for connection in connections:
                connection.sendall(request(method="GET", path="/readyz"))
            assert ask(server, "/healthz").startswith(b"HTTP/1.1 200 ")
            bodies = {read_all(connection).rpartition(b"\r\n")[2] for connection in connections}
            assert bodies == {b'{"status":"ready","database":"failing","redis":"ok"}'}


def test_the_address_may_go_without_a_token_only_if_a_setting_says_so(make_app: MakeApp) -> None:
    signed = {"webhook_signature_scheme": "hex", "webhook_signature_secrets": ["s" * 32]}
    path = ADDRESS.rpartition("/")[0]
    assert make_app(**signed).test_client().post(path, data=BODY).status_code == 404
    assert make_app(**signed, webhook_address_optional=True).test_client().post(path, data=BODY).status_code == 401
