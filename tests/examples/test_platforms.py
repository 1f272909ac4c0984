"""The example platforms read the bookings of the real tables, and take the real POST with its signature alone."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from devtools.processes import ROOT
from devtools.send import samples
from tests.worker.conftest import open_harness
from tests.worker.harness import AT, START, Harness

__all__ = ["open_harness"]
EXAMPLES = ROOT / "examples"
SECRETS = "whsec_" + "b2xk" * 8 + ",whsec_" + "c2VjcmV0" * 4
"""The old one and the new one, as while the secret is changed."""
PATH = "/hooks/bookings"
PLATFORM_TABLES = (
    "lawyers",
    "processed_events",
    "lawyers_lawyer",
    "lawyers_processedevent",
    "django_migrations",
)


@dataclass(frozen=True)
class Posted:
    """A POST as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def tampered(self) -> "Posted":
        return Posted(self.headers, self.body.replace(b"confirmed", b"cancelled"))


@dataclass
class Endpoint:
    """Stands in for the platform's endpoint, and keeps what is posted to it."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.posted.append(Posted({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}{PATH}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def harness(open_harness: Callable[..., Harness], endpoint: Endpoint) -> Iterator[Harness]:
    harness = open_harness(notify_default=endpoint.url, notify_signing_secret=SECRETS)
    yield harness
    with harness.services.database.engine.begin() as connection:
        for name in PLATFORM_TABLES:
            connection.execute(text(f"DROP TABLE IF EXISTS {name}"))


def book(harness: Harness, endpoint: Endpoint) -> Posted:
    """Books two hosts, of whom the first is mapped, and returns what the platform receives."""
    harness.process(samples.created("b1", START, AT, hosts=[], hostIds=["host-1", "host-2"]))
    harness.process(samples.created("b2", START, AT, hosts=[], hostIds=["host-3"]))
    harness.send_all()
    return next(each for each in endpoint.posted if b'"b1"' in each.body)


def map_host(harness: Harness, lawyer_id: int, co_host_id: int) -> None:
    harness.add_user(external_id=str(lawyer_id), meetergo_user_id="host-1")
    harness.add_user(external_id=str(co_host_id), meetergo_user_id="host-2", name="Co", email="co@example.com")


@pytest.fixture
def django(harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("NOTIFY_SIGNING_SECRET", SECRETS)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "lawyers.settings")
    monkeypatch.syspath_prepend(EXAMPLES / "django_platform")
    import django
    from django.db import connections
    from lawyers.settings import database as settings_of  # type: ignore[import-not-found]

    django.setup()
    connections.close_all()
    connections.settings = connections.configure_settings({"default": settings_of(database_url)})
    if hasattr(connections._connections, "default"):
        del connections["default"]
    yield django
    connections.close_all()


def test_django_reads_bookings_and_verifies_the_post(django: Any, harness: Harness, endpoint: Endpoint) -> None:
    from django.core.management import call_command
    from django.test import Client
    from django.test.utils import override_settings
    from lawyers.models import Booking, Lawyer, PlatformUser

    with override_settings(ALLOWED_HOSTS=["testserver"]):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
        call_command("migrate", verbosity=0)
        lawyer = Lawyer.objects.create(name="The Lawyer", email="lawyer@example.com")
        co_host = Lawyer.objects.create(name="The Other", email="other@example.com")
        for each, host in ((lawyer, "host-1"), (co_host, "host-2")):
            PlatformUser.objects.create(external_id=str(each.id), meetergo_user_id=host, name=each.name)
        posted, client = book(harness, endpoint), Client()
        for each in (lawyer, co_host):
            found = client.get(f"/lawyers/{each.id}/bookings").json()["bookings"]
            assert [booking["id"] for booking in found] == ["b1"]
        assert found[0]["attendees"][0]["email"] == "guest-1@example.com"
        assert Booking.objects.get(id="b1").starts_at == START
        post = {"path": PATH, "content_type": "application/json", "headers": posted.headers}
        assert client.post(data=posted.tampered.body, **post).status_code == 401
        assert not Lawyer.objects.filter(has_news=True)
        assert [client.post(data=posted.body, **post).status_code for _ in range(2)] == [204, 204]
        assert Lawyer.objects.get(has_news=True) == lawyer


def test_fastapi_reads_bookings_and_verifies_the_post(
    harness: Harness, endpoint: Endpoint, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("NOTIFY_SIGNING_SECRET", SECRETS)
    platform = load(EXAMPLES / "fastapi_platform" / "platform_app.py")
    platform.Base.metadata.create_all(platform.engine)
    try:
        with platform.Session(platform.engine) as session, session.begin():
            session.add_all([platform.Lawyer(id=4711, name="The Lawyer"), platform.Lawyer(id=4712, name="The Other")])
        map_host(harness, 4711, 4712)
        posted = book(harness, endpoint)
        for lawyer_id in (4711, 4712):
            answer = asyncio.run(request(platform.app, "GET", f"/lawyers/{lawyer_id}/bookings"))
            assert [booking["id"] for booking in answer.json()] == ["b1"]
        tampered = posted.tampered
        assert asyncio.run(request(platform.app, "POST", PATH, posted.headers, tampered.body)).status_code == 401
        for _ in range(2):
            assert asyncio.run(request(platform.app, "POST", PATH, posted.headers, posted.body)).status_code == 204
        with platform.Session(platform.engine) as session:
            next_meeting = session.get(platform.Lawyer, 4711).next_meeting
            assert (next_meeting if next_meeting.tzinfo else next_meeting.replace(tzinfo=UTC)) == START
            assert session.get(platform.Lawyer, 4712).next_meeting is None
    finally:
        platform.engine.dispose()


def load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


async def request(app: Any, method: str, path: str, headers: Any = None, body: bytes = b"") -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://platform.example") as client:
        return await client.request(method, path, headers=headers, content=body)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_express_verifies_the_post(harness: Harness, endpoint: Endpoint) -> None:
    folder, node = EXAMPLES / "express_platform", shutil.which("node")
    if not node or not (folder / "node_modules" / "standardwebhooks").exists():
        pytest.skip("needs node, and `npm ci` in examples/express_platform")
    posted = book(harness, endpoint)
    env = {"PATH": os.environ["PATH"], "NOTIFY_SIGNING_SECRET": SECRETS, "PORT": "0"}
    with subprocess.Popen([node, "server.js"], cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().split()[-1]
            url = f"http://127.0.0.1:{port}{PATH}"
            for body, status in ((posted.tampered.body, 401), (posted.body, 204), (posted.body, 204)):
                assert httpx.post(url, content=body, headers=posted.headers, timeout=20).status_code == status
        finally:
            server.terminate()
        assert server.stdout.read().splitlines() == ["booking.created b1 undefined"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_listener_prints_what_changes(open_harness: Callable[..., Harness], database_url: str) -> None:
    harness = open_harness(database_notify="true")
    env = {**os.environ, "DATABASE_URL": database_url.replace("+psycopg", ""), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(EXAMPLES / "listen_notify" / "listen.py")]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout
            assert listener.stdout.readline() == "listening\n"
            harness.process(samples.created("b1", START, AT), samples.cancelled("b1", START, AT.replace(hour=20)))
            received = [listener.stdout.readline().split()[:3] for _ in range(2)]
        finally:
            listener.terminate()
    assert [each[:2] for each in received] == [["b1", "1"], ["b1", "2"]]
    assert received[-1][2] == "cancelled"
