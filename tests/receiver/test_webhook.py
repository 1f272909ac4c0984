"""The front reads a body in time or not at all, and says so; what breaks is answered."""

import asyncio
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from granian.rsgi import ProtocolClosed
from structlog.testing import capture_logs

from receiver.auth import WebhookAuth
from receiver.ingest import LARGE_BODY
from runtime.encryption import BodyCipher
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.in_process import Headers, Protocol, ReceiverInProcess, Scope

BODY = payload("booking_created")
BODY_TIMEOUT = timedelta(milliseconds=200)
FOR_EVER = 1000.0


Send = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def send(make_app: MakeApp) -> Send:
    def one(parts: list[bytes | float | None], *headers: tuple[str, str], **changes: Any) -> Any:
        app = (changes.pop("tested", None) or make_app(webhook_max_body=2000)).app
        app._body_timeout = changes.pop("within", BODY_TIMEOUT).total_seconds()
        protocol = Protocol(parts)
        asyncio.run(app.__rsgi__(Scope(Headers(headers), **{"path": ADDRESS} | changes), protocol))
        [(status, response_headers, body)] = protocol.responses
        return status, dict(response_headers), body

    return one


STATED, CHUNKED = ("content-length", str(len(BODY))), ("transfer-encoding", "chunked")
LONG = timedelta(seconds=20)


@pytest.mark.parametrize("framing", [STATED, CHUNKED])
def test_a_body_in_time_is_kept(send: Send, stored: Callable[[], list[bytes]], framing: tuple[str, str]) -> None:
    status, headers, body = send([BODY[:9], 0.01, BODY[9:]], framing, within=LONG)
    assert (status, stored()) == (200, [BODY])
    assert headers["X-Delivery-Id"].encode() in body
    assert headers["Content-Length"] == str(len(body))


def test_a_chunked_body_with_a_number_of_any_length_is_kept(
    app: ReceiverInProcess, send: Send, stored: Callable[[], list[bytes]]
) -> None:
    body = b'{"id": 1%b}' % (b"0" * 5000)
    status, _, _ = send([body], CHUNKED, within=LONG, tested=app)
    assert (status, stored()) == (200, [body])


@pytest.mark.parametrize("size", [1000, LARGE_BODY + 1])
def test_a_large_body_keeps_no_other_request_waiting(
    make_app: MakeApp, send: Send, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            threads.append(threading.current_thread())
            return function(*arguments)

        return noted

    monkeypatch.setattr(WebhookAuth, "check_body", note(WebhookAuth.check_body))
    monkeypatch.setattr(BodyCipher, "encrypt", note(BodyCipher.encrypt))
    app = make_app(webhook_max_body=2 * LARGE_BODY)
    body = b"[%b]" % (b" " * size)
    assert send([body], CHUNKED, within=LONG, tested=app)[0] == 200
    assert [thread is threading.current_thread() for thread in threads] == [size <= LARGE_BODY] * 2


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


class BrokenProtocol(Protocol):
    """Its body keeps its error, as Granian's does, where the garbage collector does not see it."""

    def __call__(self) -> asyncio.Future[bytes]:  # type: ignore[override] # a coroutine does not keep it
        body = asyncio.get_running_loop().create_future()
        body.set_exception(ProtocolClosed())
        self.body = weakref.ref(body)
        return body


def test_a_connection_that_breaks_leaves_nothing_in_memory(app: ReceiverInProcess) -> None:
    protocol = BrokenProtocol([])
    asyncio.run(app.app.__rsgi__(Scope(Headers([STATED]), path=ADDRESS), protocol))
    assert [status for status, _, _ in protocol.responses] == [400]
    assert protocol.body() is None


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


def test_what_breaks_is_500_and_logged_without_what_it_said(send: Send, app: ReceiverInProcess) -> None:
    def accept(*_: object) -> None:
        raise RuntimeError(f"{ADDRESS} {BODY!r}")

    app.app.auth.check_body = accept  # type: ignore[method-assign]
    with capture_logs() as entries:
        response = send([BODY], STATED, tested=app)
    assert (response[0], response[2]) == (500, b'{"status":"refused","reason":"internal error"}')
    assert [entry["event"] for entry in entries] == ["request.failed"]
    assert ADDRESS not in str(entries)
    assert "Jane" not in str(entries)
