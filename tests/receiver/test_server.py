"""The receiver as it runs: raw bytes to a real process."""

import gzip
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import urllib3

from receiver.__main__ import HEAD_DEADLINE
from runtime.signed_address import WEBHOOK_PATH
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS
from tests.receiver.process import MAX_BODY, Process, chunk, hear, receiver_process, request

CHUNKED = "Transfer-Encoding: chunked"
WRONG = f"{WEBHOOK_PATH}/default.{'A' * 43}"
NUMBERS = iter(range(1000))
SOONER_THAN_IDLE_LINES_ARE_CLOSED = HEAD_DEADLINE.total_seconds()
"""Then others are heard in any case."""


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


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_chunked_body_is_put_together(server: Process, body: bytes) -> None:
    answer = server.say(request(CHUNKED), chunk(body[:7]), chunk(body[7:]), b"0\r\n\r\n")
    assert status(answer) == 200
    assert body in server.stored()


def test_a_body_that_comes_slowly_in_pieces_is_waited_for(server: Process, body: bytes) -> None:
    with server.call() as line:
        line.sendall(request(length(body)))
        for start in range(0, len(body), 100):
            line.sendall(body[start : start + 100])
            time.sleep(0.02)
        assert status(hear(line)) == 200
    assert body in server.stored()


@pytest.mark.parametrize("sent", [0, 1, -1], ids=["nothing", "one byte", "all but one byte"])
def test_a_body_shorter_than_it_was_said_to_be_is_not_stored(server: Process, body: bytes, sent: int) -> None:
    before = server.stored()
    answer = server.say(request(length(body)), body[:sent], hang_up=True)
    assert b" 200 " not in answer
    assert server.stored() == before


@pytest.mark.parametrize(
    "end", [b"", b"7", b"\r\n", b"zz\r\n\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"], ids=lambda end: repr(end)
)
def test_a_chunked_body_that_breaks_off_is_not_stored(server: Process, body: bytes, end: bytes) -> None:
    before = server.stored()
    answer = server.say(request(CHUNKED), chunk(body[:-1]), end, hang_up=True)
    assert b" 200 " not in answer
    assert server.stored() == before


def test_a_body_longer_than_it_was_said_to_be_is_cut_there(server: Process, body: bytes) -> None:
    answer = server.say(request(length(body)), body + b"more")
    assert status(answer) == 200
    assert body in server.stored()
    assert not [stored for stored in server.stored() if b"more" in stored]


@pytest.mark.parametrize("headers", [[CHUNKED], [CHUNKED, "Content-Length: 5"], [f"Content-Length: {MAX_BODY + 1}"]])
def test_a_body_above_the_limit_is_413(server: Process, headers: list[str]) -> None:
    before = server.stored()
    large = b" " * (MAX_BODY + 1)
    sent = [chunk(large), b"0\r\n\r\n"] if CHUNKED in headers else [large]
    answer = server.say(request(*headers), *sent)
    assert status(answer) == 413
    assert answer.endswith(b'{"status":"refused","reason":"body too large"}')
    assert server.stored() == before


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip\xff"])
@pytest.mark.parametrize("framing", ["stated", "chunked"])
def test_a_compressed_body_is_415(server: Process, body: bytes, framing: str, coding: str) -> None:
    before, packed = server.stored(), gzip.compress(body)
    header = CHUNKED if framing == "chunked" else length(packed)
    sent = [chunk(packed), b"0\r\n\r\n"] if framing == "chunked" else [packed]
    head = request("Content-Encoding: CODING", header).replace(b"CODING", coding.encode("latin-1"))
    answer = server.say(head, *sent)
    assert status(answer) == 415
    assert answer.endswith(b'"reason":"send the body without content-encoding, and JSON in UTF-8"}')
    assert server.stored() == before


def test_a_body_with_neither_a_length_nor_chunks_is_411(server: Process) -> None:
    assert status(server.say(request())) == 411


def test_an_endless_body_is_413_before_its_end(server: Process) -> None:
    with server.call() as line:
        line.sendall(request(CHUNKED) + chunk(b" " * 1000) * 3)
        assert status(line.recv(65536)) == 413


@pytest.mark.parametrize("value", ["two", "-1", "+2", "0x2", "1, 2", "2\r\nContent-Length: 3"])
def test_a_length_that_is_no_number_is_400(server: Process, value: str) -> None:
    before = server.stored()
    assert status(server.say(request(f"Content-Length: {value}"), b"{}")) == 400
    assert server.stored() == before


def test_requests_on_one_line_are_answered_in_turn(server: Process, body: bytes) -> None:
    first = request(length(body), last=False) + body
    second = request(path="/healthz", method="GET", last=False)
    third = request(length(body + b" ")) + body + b" "
    answers = server.say(first + second + third).split(b"HTTP/1.1 ")[1:]
    assert [int(answer[:3]) for answer in answers] == [200, 200, 200]
    assert {body, body + b" "} <= set(server.stored())


@pytest.mark.parametrize("framing", ["stated", "chunked", "both"])
def test_a_request_inside_a_refused_body_is_not_heard(server: Process, body: bytes, framing: str) -> None:
    hidden = request(length(body)) + body
    headers = {"stated": [length(hidden)], "chunked": [CHUNKED], "both": ["Content-Length: 4", CHUNKED]}[framing]
    framed = hidden if framing == "stated" else chunk(hidden) + b"0\r\n\r\n"
    answer = server.say(request(*headers, path=WRONG, last=False) + framed)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert status(answer) == 404
    assert body not in server.stored()


def test_open_lines_that_say_no_more_do_not_keep_others_waiting(server: Process, body: bytes) -> None:
    slow, unfinished = server.call(), server.call()
    strangers = [server.call() for _ in range(40)]
    slow.sendall(request(length(body), "Expect: 100-continue"))
    assert slow.recv(100).startswith(b"HTTP/1.1 100")  # it is being read
    unfinished.sendall(request(last=False)[:-2])
    for stranger in strangers:
        stranger.sendall(request(length(body), path=WRONG, last=False))
        assert status(stranger.recv(65536)) == 404
    assert status(server.say(request(length(body)), body)) == 200
    assert status(server.say(request(method="GET", path="/readyz"))) == 200
    for line in (slow, unfinished, *strangers):
        line.close()


def test_two_hundred_lines_that_stay_open_are_all_heard(server: Process, body: bytes) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(server.call()) for _ in range(200)]
        for line in lines:
            line.settimeout(SOONER_THAN_IDLE_LINES_ARE_CLOSED)
            line.sendall(request(length(body), last=False) + body)
        assert {status(line.recv(65536)) for line in lines} == {200}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", WRONG, 413), ("POST", "/elsewhere", 404), ("DELETE", ADDRESS, 405)]
)
def test_a_refused_sender_is_told_that_the_line_is_closed(
    server: Process, body: bytes, method: str, path: str, status: int
) -> None:
    with urllib3.PoolManager() as pool:
        for _ in range(20):
            answer = pool.request(method, f"http://127.0.0.1:{server.port}{path}", body=body * 200, retries=False)
            assert (answer.status, answer.headers["Connection"]) == (status, "close")


def test_an_address_may_be_written_with_escapes(server: Process, body: bytes) -> None:
    assert status(server.say(request(length(body), path=ADDRESS.replace(".", "%2E")), body)) == 200
