"""A provider on a real socket that gives configured responses and records requests."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.payloads import FIXTURES


def recorded(name: str) -> Any:
    """Return a recorded response of the API."""
    return json.loads((FIXTURES / "api" / f"{name}.json").read_bytes())


@dataclass(frozen=True)
class Request:
    """A received request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def acts_as(self) -> str | None:
        return self.headers.get("x-meetergo-api-user-id")


@dataclass(frozen=True)
class FakeResponse:
    """A response. Content is sent as JSON unless it is bytes; `hangs_up` drops the connection, `silent` hangs."""

    status: int = 200
    content: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    disconnects: bool = False
    silent: bool = False


DISCONNECTS = FakeResponse(disconnects=True)
SILENT = FakeResponse(silent=True)


class FakeApi:
    """Give the responses in turn; repeat the last one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_over = threading.Event()
        self._answers: deque[FakeResponse] = deque()
        self._requests: list[Request] = []

    def respond_with(self, *answers: FakeResponse | Any) -> None:
        """Set the next responses: an `Answer`, or the JSON of a successful one."""
        self._requests.clear()
        self._answers = deque(each if isinstance(each, FakeResponse) else FakeResponse(200, each) for each in answers)

    @property
    def requests(self) -> list[Request]:
        return list(self._requests)

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self._requests]

    @property
    def last(self) -> Request:
        return self._requests[-1]

    def respond(self, request: Request) -> FakeResponse:
        self._requests.append(request)
        return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: otherwise delayed acknowledgement costs 40 ms
    fake_api: FakeApi

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.fake_api.respond(Request(self.command, url.path, parse_qs(url.query), headers, content))
        if response.silent:
            self.fake_api.is_over.wait()
        if response.silent or response.disconnects:
            self.close_connection = True
            return
        body = response.content if isinstance(response.content, bytes) else json.dumps(response.content).encode()
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - names that http.server requires

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore a client that closed the connection first."""


@contextmanager
def open_fake_api() -> Iterator[FakeApi]:
    handler: Any = type("OfThisProvider", (Handler,), {})
    with Server(("127.0.0.1", 0), handler) as server:
        handler.fake_api = fake_api = FakeApi(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake_api
        fake_api.is_over.set()
        server.shutdown()
        thread.join()
