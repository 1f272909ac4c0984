"""The front reads a body in time or not at all, and says so; what breaks is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from granian.rsgi import ProtocolClosed
from structlog.testing import capture_logs

from receiver.async_app import AsyncApp
from receiver.thread_pool import ThreadPool
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp

BODY = payload("booking_created")
BODY_TIMEOUT = timedelta(milliseconds=200)
FOR_EVER = 1000.0


class Headers(list[tuple[str, str]]):
    """As Granian has them; a value that is not ASCII is hidden."""

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self if value.isascii()]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self))


@dataclass
class Scope:
    headers: Headers
    method: str = "POST"
    path: str = ADDRESS
    query_string: str = ""
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:5000"
    scheme: str = "http"
    http_version: str = "1.1"


@dataclass
class Protocol:
    """A body in parts; a number is a pause in seconds, and None a line that broke."""

    parts: list[bytes | float | None]
    responses: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self) -> bytes:
        return b"".join([part async for part in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if part is None:
                raise ProtocolClosed
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.responses.append((status, dict(headers), body))


Send = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def send(make_app: MakeApp) -> Send:
    def one(parts: list[bytes | float | None], *headers: tuple[str, str], **changes: Any) -> Any:
        app = changes.pop("app", None) or make_app(webhook_max_body=2000)
        extensions = app.extensions
        parts_of_it = [extensions[name] for name in ("auth", "webhook_view", "readiness")]
        async_application = AsyncApp(app.wsgi_app, *parts_of_it, 2, body_timeout=changes.pop("within", BODY_TIMEOUT))
        protocol = Protocol(parts)
        asyncio.run(async_application.__rsgi__(Scope(Headers(headers), **changes), protocol))  # type: ignore[arg-type]
        [response] = protocol.responses
        return response

    return one


STATED, CHUNKED = ("content-length", str(len(BODY))), ("transfer-encoding", "chunked")
LONG = timedelta(seconds=20)


@pytest.mark.parametrize("framing", [STATED, CHUNKED])
def test_a_body_in_time_is_kept(send: Send, stored: Callable[[], list[bytes]], framing: tuple[str, str]) -> None:
    status, headers, body = send([BODY[:9], 0.01, BODY[9:]], framing, within=LONG)
    assert (status, stored()) == (200, [BODY])
    assert headers["X-Delivery-Id"].encode() in body
    assert headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("framing", [STATED, CHUNKED])
@pytest.mark.parametrize("parts", [[FOR_EVER], [BODY[:9], FOR_EVER], [BODY, FOR_EVER], [b" ", 0.05] * 100])
def test_a_body_that_is_not_whole_in_time_is_408(
    send: Send, stored: Callable[[], list[bytes]], framing: tuple[str, str], parts: list[bytes | float | None]
) -> None:
    status, headers, body = send(parts, framing)
    assert (status, body) == (408, b'{"status":"refused","reason":"body too slow"}')
    assert headers["Connection"] == "close"
    assert stored() == []


@pytest.mark.parametrize("framing", [STATED, CHUNKED])
def test_a_connection_that_breaks_is_400(
    send: Send, stored: Callable[[], list[bytes]], framing: tuple[str, str]
) -> None:
    assert send([BODY[:9], None], framing, within=LONG)[0] == 400
    assert stored() == []


def test_an_endless_body_is_read_only_up_to_the_limit(send: Send) -> None:
    assert send([b" " * 1000] * 3 + [FOR_EVER], CHUNKED, within=LONG)[0] == 413


def test_a_header_that_cannot_be_read_is_not_taken_for_absent(send: Send) -> None:
    assert send([BODY], STATED, ("content-encoding", "gzip\xff"))[0] == 415
    assert send([BODY], ("content-length", "1\xff"))[0] == 400


def test_who_asks_for_something_else_is_answered_by_flask(send: Send) -> None:
    assert send([], method="GET", path="/healthz")[2] == b'{"status":"ok"}'
    assert send([], method="GET", path="/readyz", within=LONG)[0] == 200
    assert send([], method="GET")[0] == 405
    assert send([], path="/elsewhere")[0] == 404


def test_what_breaks_is_500_and_logged_without_what_it_said(send: Send, app: Flask) -> None:
    def accept(*_: object) -> None:
        raise RuntimeError(f"{ADDRESS} {BODY!r}")

    app.extensions["auth"].authenticate = accept
    with capture_logs() as entries:
        response = send([BODY], STATED, app=app)
    assert (response[0], response[2]) == (500, b'{"status":"refused","reason":"internal error"}')
    assert [entry["event"] for entry in entries] == ["request.failed"]
    assert ADDRESS not in str(entries)
    assert "Jane" not in str(entries)


def test_threads_give_back_what_a_call_returns_or_raises() -> None:
    threads = ThreadPool("test", 3)

    async def calls() -> list[Any]:
        return await asyncio.gather(
            *(threads.run(divmod, number, number % 2) for number in range(100)), return_exceptions=True
        )

    found = asyncio.run(calls())
    assert [each for each in found if not isinstance(each, ZeroDivisionError)] == [(n, 0) for n in range(1, 100, 2)]
    threads.close()


def test_a_call_that_fails_ends_no_thread() -> None:
    threads, done = ThreadPool("test", 1), []
    with capture_logs() as entries:
        threads.submit(lambda: 1 // 0)
        threads.submit(lambda: done.append(time.monotonic()))
        threads.close()
    assert len(done) == 1
    assert [entry["error"] for entry in entries] == ["ZeroDivisionError"]
