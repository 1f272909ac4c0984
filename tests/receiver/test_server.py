"""The receiver as it runs: raw bytes to a real process."""

import gzip
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import urllib3

from receiver.server import HEADER_TIMEOUT
from runtime.signed_address import WEBHOOK_PATH
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS
from tests.receiver.process import MAX_BODY, Process, chunk, read_all, receiver_process, request

CHUNKED = "Transfer-Encoding: chunked"
WRONG = f"{WEBHOOK_PATH}/default.{'A' * 43}"
NUMBERS = iter(range(1000))
SOONER_THAN_IDLE_CONNECTIONS_CLOSE = HEADER_TIMEOUT.total_seconds()
"""After this time, others are served in any case."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Process]:
    with receiver_process(tmp_path_factory.mktemp("receiver"), redis_url) as process:
        yield process


@pytest.fixture
def body() -> bytes:
    """Another one each time, since the tests share a server."""
    return payload("booking_created", id=f"booking-{next(NUMBERS)}")


def length(of: bytes) -> str:
    return f"Content-Length: {len(of)}"


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def test_a_chunked_body_is_put_together(server: Process, body: bytes) -> None:
    response = server.send_raw(request(CHUNKED), chunk(body[:7]), chunk(body[7:]), b"0\r\n\r\n")
    assert status(response) == 200
    assert body in server.stored()


def test_a_body_that_comes_slowly_in_pieces_is_waited_for(server: Process, body: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request(length(body)))
        for start in range(0, len(body), 100):
            connection.sendall(body[start : start + 100])
            time.sleep(0.02)
        assert status(read_all(connection)) == 200
    assert body in server.stored()


@pytest.mark.parametrize("sent", [0, 1, -1], ids=["nothing", "one byte", "all but one byte"])
def test_a_body_shorter_than_it_was_said_to_be_is_not_stored(server: Process, body: bytes, sent: int) -> None:
    before = server.stored()
    response = server.send_raw(request(length(body)), body[:sent], half_close=True)
    assert b" 200 " not in response
    assert server.stored() == before


@pytest.mark.parametrize(
    "end", [b"", b"7", b"\r\n", b"zz\r\n\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"], ids=lambda end: repr(end)
)
def test_a_chunked_body_that_breaks_off_is_not_stored(server: Process, body: bytes, end: bytes) -> None:
    before = server.stored()
    response = server.send_raw(request(CHUNKED), chunk(body[:-1]), end, half_close=True)
    assert b" 200 " not in response
    assert server.stored() == before


def test_a_body_longer_than_it_was_said_to_be_is_cut_there(server: Process, body: bytes) -> None:
    response = server.send_raw(request(length(body)), body + b"more")
    assert status(response) == 200
    assert body in server.stored()
    assert not [stored for stored in server.stored() if b"more" in stored]


@pytest.mark.parametrize("headers", [[CHUNKED], [CHUNKED, "Content-Length: 5"], [f"Content-Length: {MAX_BODY + 1}"]])
def test_a_body_above_the_limit_is_413(server: Process, headers: list[str]) -> None:
    before = server.stored()
    large = b" " * (MAX_BODY + 1)
    sent = [chunk(large), b"0\r\n\r\n"] if CHUNKED in headers else [large]
    response = server.send_raw(request(*headers), *sent)
    assert status(response) == 413
    assert response.endswith(b'{"status":"refused","reason":"body too large"}')
    assert server.stored() == before


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip\xff"])
@pytest.mark.parametrize("framing", ["stated", "chunked"])
def test_a_compressed_body_is_415(server: Process, body: bytes, framing: str, coding: str) -> None:
    before, packed = server.stored(), gzip.compress(body)
    header = CHUNKED if framing == "chunked" else length(packed)
    sent = [chunk(packed), b"0\r\n\r\n"] if framing == "chunked" else [packed]
    head = request("Content-Encoding: CODING", header).replace(b"CODING", coding.encode("latin-1"))
    response = server.send_raw(head, *sent)
    assert status(response) == 415
    assert response.endswith(b'"reason":"send the body without content-encoding, and JSON in UTF-8"}')
    assert server.stored() == before


def test_a_body_compressed_by_its_transfer_is_415(server: Process, body: bytes) -> None:
    before = server.stored()
    head = request("Transfer-Encoding: gzip, chunked")
    assert status(server.send_raw(head, chunk(gzip.compress(body)), b"0\r\n\r\n")) == 415
    assert server.stored() == before


def test_a_body_with_neither_a_length_nor_chunks_is_411(server: Process) -> None:
    assert status(server.send_raw(request())) == 411


def test_an_endless_body_is_413_before_its_end(server: Process) -> None:
    with server.connect() as connection:
        connection.sendall(request(CHUNKED) + chunk(b" " * 1000) * 3)
        assert status(connection.recv(65536)) == 413


@pytest.mark.parametrize("value", ["two", "-1", "+2", "0x2", "1, 2", "2\r\nContent-Length: 3"])
def test_a_length_that_is_no_number_is_400(server: Process, value: str) -> None:
    before = server.stored()
    assert status(server.send_raw(request(f"Content-Length: {value}"), b"{}")) == 400
    assert server.stored() == before


def test_requests_on_one_connection_are_answered_in_turn(server: Process, body: bytes) -> None:
    first = request(length(body), last=False) + body
    second = request(path="/healthz", method="GET", last=False)
    third = request(length(body + b" ")) + body + b" "
    responses = server.send_raw(first + second + third).split(b"HTTP/1.1 ")[1:]
    assert [int(response[:3]) for response in responses] == [200, 200, 200]
    assert {body, body + b" "} <= set(server.stored())


@pytest.mark.parametrize("framing", ["stated", "chunked", "both"])
def test_a_request_inside_a_rejected_body_is_not_processed(server: Process, body: bytes, framing: str) -> None:
    hidden = request(length(body)) + body
    headers = {"stated": [length(hidden)], "chunked": [CHUNKED], "both": ["Content-Length: 4", CHUNKED]}[framing]
    framed = hidden if framing == "stated" else chunk(hidden) + b"0\r\n\r\n"
    response = server.send_raw(request(*headers, path=WRONG, last=False) + framed)
    assert response.count(b"HTTP/1.1 ") == 1
    assert status(response) == 404
    assert body not in server.stored()


def test_open_connections_that_send_no_more_do_not_keep_others_waiting(server: Process, body: bytes) -> None:
    slow, unfinished = server.connect(), server.connect()
    unauthenticated = [server.connect() for _ in range(40)]
    slow.sendall(request(length(body), "Expect: 100-continue"))
    assert slow.recv(100).startswith(b"HTTP/1.1 100")  # it is being read
    unfinished.sendall(request(last=False)[:-2])
    for client in unauthenticated:
        client.sendall(request(length(body), path=WRONG, last=False))
        assert status(client.recv(65536)) == 404
    assert status(server.send_raw(request(length(body)), body)) == 200
    assert status(server.send_raw(request(method="GET", path="/readyz"))) == 200
    for connection in (slow, unfinished, *unauthenticated):
        connection.close()


def test_two_hundred_connections_that_stay_open_are_all_served(server: Process, body: bytes) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(200)]
        for connection in connections:
            connection.settimeout(SOONER_THAN_IDLE_CONNECTIONS_CLOSE)
            connection.sendall(request(length(body), last=False) + body)
        assert {status(connection.recv(65536)) for connection in connections} == {200}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", WRONG, 413), ("POST", "/elsewhere", 404), ("DELETE", ADDRESS, 405)]
)
def test_a_rejected_sender_is_told_that_the_connection_is_closed(
    server: Process, body: bytes, method: str, path: str, status: int
) -> None:
    with urllib3.PoolManager() as pool:
        for _ in range(20):
            response = pool.request(method, f"http://127.0.0.1:{server.port}{path}", body=body * 200, retries=False)
            assert (response.status, response.headers["Connection"]) == (status, "close")


def test_an_address_may_be_written_with_escapes(server: Process, body: bytes) -> None:
    assert status(server.send_raw(request(length(body), path=ADDRESS.replace(".", "%2E")), body)) == 200
