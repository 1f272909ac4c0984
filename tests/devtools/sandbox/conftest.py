"""A sandbox with a fixed clock, a plain HTTP client for it, and an endpoint for its webhooks."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from urllib3 import PoolManager, Timeout

from devtools.sandbox.server import Sandbox, sandbox

MONDAY = datetime(2026, 3, 2, 7, tzinfo=UTC)
"""8:00 in Berlin."""

GUEST = {"email": "guest@example.com", "fullname": "The Guest", "receiveReminders": True, "notes": {}}
EVENTS = ["booking_created", "booking_rescheduled", "booking_cancelled", "new_employee"]
PATIENCE_SECONDS = 60


@dataclass
class ManualClock:
    """A clock that advances only on request."""

    now: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True)
class ApiAnswer:
    status: int
    content: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass
class Api:
    """Call the API with the platform key, as the owner unless another user is named."""

    meetergo: Sandbox
    http: PoolManager

    def __call__(
        self, route: str, body: Any = None, user: str | None = "", key: str | None = None, **query: Any
    ) -> ApiAnswer:
        method, path = route.split(" ")
        headers = {"authorization": f"Bearer {key or self.meetergo.key}"}
        user = self.meetergo.company.admin_id if user == "" else user
        if user:
            headers["x-meetergo-api-user-id"] = user
        if query:
            query = {"fields": query} if body is None else query
        if body is not None:
            query["json"] = body
        answer = self.http.request(method, self.meetergo.url + path, headers=headers, **query)
        return ApiAnswer(answer.status, answer.data, {name.lower(): text for name, text in answer.headers.items()})


class Endpoint(ThreadingHTTPServer):
    """The endpoint that webhooks are sent to.

    Attributes:
        status: status of every response.
        received: the received bodies, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _EndpointHandler)
        self.status = 200
        self.received: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_port}/webhooks/meetergo/a-token"

    @property
    def events(self) -> list[str]:
        return [body.get("webhookType") or body["event"] for body in map(json.loads, self.received)]

    @property
    def last(self) -> Any:
        return json.loads(self.received[-1])


class _EndpointHandler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@dataclass
class Host:
    """A host with one meeting type of half an hour, open from 9:00 to 17:00 on weekdays."""

    id: str
    meeting_type: str
    availability: str
    answer: dict[str, Any] = field(repr=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def http() -> Iterator[PoolManager]:
    with PoolManager(retries=False, timeout=Timeout(PATIENCE_SECONDS)) as pool:
        yield pool


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Callable[..., Sandbox]]:
    """Start a sandbox with options."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(sandbox(*arguments, **{"now": clock} | options))


@pytest.fixture
def meetergo(start: Callable[..., Sandbox]) -> Sandbox:
    return start()


@pytest.fixture
def api(meetergo: Sandbox, http: PoolManager) -> Api:
    return Api(meetergo, http)


@pytest.fixture
def host(meetergo: Sandbox) -> Host:
    return add_host(meetergo)


def add_host(meetergo: Sandbox, email: str = "host@example.com", **said: Any) -> Host:
    answer = meetergo.actions.add_host(email, **said)
    return Host(answer["userId"], answer["meetingTypeId"], answer["availabilityId"], answer)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def registered_endpoint(meetergo: Sandbox, api: Api, endpoint: Endpoint) -> Endpoint:
    """An endpoint registered for all events."""
    return register(api, endpoint)


def register(api: Api, endpoint: Endpoint) -> Endpoint:
    assert api("POST /webhooks", {"endpoint": endpoint.url, "eventTypes": EVENTS}).status == 201
    return endpoint


def booking(host: Host, start: datetime, **changes: Any) -> dict[str, Any]:
    """Return the body of a booking."""
    usual = {"meetingTypeId": host.meeting_type, "hostIds": [host.id], "start": start.isoformat(), "attendee": GUEST}
    return usual | changes


def at(hour: float, day: int = 0) -> datetime:
    """Return an hour in Berlin, N days after that Monday."""
    return MONDAY + timedelta(hours=hour - 8, days=day)
