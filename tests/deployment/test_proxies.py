"""deploy/nginx and deploy/caddy before a receiver: what they let through, what they refuse, and what they log."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from threading import Thread

import pytest

from devtools.redis_server import free_port
from receiver.server import HEADER_TIMEOUT
from receiver.webhook import BODY_TIMEOUT
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS
from tests.receiver.process import Process, receiver_process
from tests.runtime.test_redis_tls import certificate

ROOT = Path(__file__).parent.parent.parent
NGINX, CADDY = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin"), shutil.which("caddy")
TOKEN = ADDRESS.rpartition("/")[2]
TIMEOUT_SECONDS = 60
CALENDAR_UPSTREAM = "127.0.0.1:8500"
NGINX_MAIN = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log info; {user}
events {{}}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; access_log {folder}/other.log;
    include {folder}/sample.conf;
}}
"""


@dataclass
class Proxy:
    """A proxy that runs on this machine with our sample."""

    port: int
    folder: Path
    tls: bool

    def send(self, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        context = ssl._create_unverified_context()
        connection = (
            HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS, context=context)
            if self.tls
            else HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        )
        try:
            connection.request("POST" if body else "GET", path, body or None, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def open(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)
        return ssl._create_unverified_context().wrap_socket(line) if self.tls else line

    def logs(self, expected: str) -> str:
        """Return the logs once they have this: a line is written after its response."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while expected not in self._read_logs() and time.monotonic() < until:
            time.sleep(0.01)
        return self._read_logs()

    def _read_logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self.folder.rglob("*.log"))


MakeProxy = Callable[..., Proxy]


@contextmanager
def running(command: list[str], port: int, folder: Path, **env: str) -> Iterator[None]:
    with (folder / "output.log").open("wb") as out:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            assert process.poll() is None, (folder / "output.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


@contextmanager
def nginx(folder: Path, upstream: int, **changes: str) -> Iterator[Proxy]:
    port, pem = free_port(), certificate(folder)
    sample = (ROOT / "deploy" / "nginx" / "meetergo-inbox.conf").read_text()
    places = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/letsencrypt/live/inbox.example.com/fullchain.pem": str(pem),
        "/etc/letsencrypt/live/inbox.example.com/privkey.pem": str(pem),
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream};",
        "/var/log/nginx/": f"{folder}/",
    }
    for old, new in (places | changes).items():
        assert old in sample
        sample = sample.replace(old, new)
    (folder / "sample.conf").write_text(sample)
    user = "user root;" if Path(folder).owner() == "root" else ""
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder, user=user))
    with running([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder):
        yield Proxy(port, folder, tls=True)


@contextmanager
def caddy(folder: Path, upstream: int, **changes: str) -> Iterator[Proxy]:
    port = free_port()
    sample = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
    for old, new in {"{\n\tservers": "{\n\tadmin off\n\tservers", **changes}.items():
        assert old in sample
        sample = sample.replace(old, new)
    (folder / "Caddyfile").write_text(sample)
    env = {"HOME": str(folder), "SITE": f"http://127.0.0.1:{port}", "UPSTREAM": f"127.0.0.1:{upstream}"}
    with running([str(CADDY), "run", "--config", str(folder / "Caddyfile")], port, folder, **env):
        yield Proxy(port, folder, tls=False)


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=list(PROXIES))
def kind(request: pytest.FixtureRequest) -> str:
    if not {"nginx": NGINX, "caddy": CADDY}[request.param]:
        pytest.skip(f"{request.param} is not installed: apt-get install {request.param}")
    return str(request.param)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("receiver")
    with receiver_process(folder, redis_url, WEBHOOK_MAX_BODY="1000000") as process:
        yield process


@pytest.fixture
def start(kind: str, tmp_path: Path) -> Iterator[MakeProxy]:
    with ExitStack() as stack:
        yield lambda upstream, **changes: stack.enter_context(PROXIES[kind](tmp_path, upstream, **changes))


def test_a_webhook_gets_its_200_and_all_else_stays_inside(start: MakeProxy, receiver: Process, kind: str) -> None:
    proxy, before = start(receiver.port), len(receiver.stored())
    status, headers, _ = proxy.send(ADDRESS, payload("booking_created", note=f"through {kind}"))
    assert status == 200
    assert "X-Delivery-Id" in headers or "x-delivery-id" in headers
    assert len(receiver.stored()) == before + 1
    assert {proxy.send(path)[0] for path in ("/healthz", "/readyz", "/", "/metrics")} == {404}
    assert proxy.send("/webhooks/meetergo/default/wrong", b"{}")[0] == 404
    assert len(receiver.stored()) == before + 1


def test_a_body_that_is_too_large_is_refused(start: MakeProxy, receiver: Process, kind: str) -> None:
    proxy, before = start(receiver.port), receiver.stored()
    assert proxy.send(ADDRESS, b"x" * 300_000)[0] in {"nginx": [413], "caddy": [413, 502]}[kind]
    assert receiver.stored() == before


def test_a_calendar_is_fetched_from_the_process_that_serves_it(start: MakeProxy) -> None:
    """A calendar program's request, and no log of it: its path is a credential too."""
    body = b"BEGIN:VCALENDAR"
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        requests: list[bytes] = []

        def serve() -> None:
            for status in (b"200 OK", b"503 Service Unavailable"):
                client, _ = upstream.accept()
                with client:
                    requests.append(client.recv(65536))
                    head = b'HTTP/1.1 %b\r\nContent-Length: %d\r\nETag: "1"\r\n' % (status, len(body))
                    client.sendall(head + b"Connection: close\r\n\r\n" + body)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        proxy = start(
            free_port(), **{CALENDAR_UPSTREAM: CALENDAR_UPSTREAM.replace("8500", str(upstream.getsockname()[1]))}
        )
        path = f"/calendar/{TOKEN}.ics"
        status, headers, sent = proxy.send(path, **{"If-None-Match": '"0"'})
        assert (status, sent) == (200, body)
        assert {name.lower() for name in headers} >= {"etag"}
        assert proxy.send(path)[0] == 503
        thread.join()
    assert requests[0].startswith(f"GET {path} HTTP/1.1".encode())
    assert b'If-None-Match: "0"' in requests[0]
    assert proxy.send(path)[0] == 502
    logs = proxy.logs("502")
    assert "502" in logs
    assert TOKEN not in logs


def slow_post(proxy: Proxy) -> bytes:
    """The answer to a body that begins and does not go on."""
    with proxy.open() as line:
        line.sendall(f"POST {ADDRESS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n".encode())
        line.sendall(b"{")
        answer = b""
        while part := line.recv(65536):
            answer += part
    return answer


def test_nginx_does_not_wait_for_a_body(tmp_path: Path, receiver: Process) -> None:
    if not NGINX:
        pytest.skip("nginx is not installed: apt-get install nginx")
    before = receiver.stored()
    with nginx(tmp_path, receiver.port, **{"client_body_timeout 10s": "client_body_timeout 500ms"}) as proxy:
        assert not slow_post(proxy).startswith(b"HTTP/1.1 2")
    assert receiver.stored() == before


def test_caddy_passes_on_that_the_receiver_does_not_wait_for_a_body(tmp_path: Path) -> None:
    """It answers when its own, longer `read_body` is over, with the receiver's 408 and no 200 of its own."""
    if not CADDY:
        pytest.skip("caddy is not installed: apt-get install caddy")
    seconds = re.search(r"read_body (\d+)s", (ROOT / "deploy" / "caddy" / "Caddyfile").read_text())
    assert seconds
    assert int(seconds[1]) > (HEADER_TIMEOUT + BODY_TIMEOUT).total_seconds()

    def refuse() -> None:
        client, _ = upstream.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        caddy(tmp_path, upstream.getsockname()[1], **{"read_body 30s": "read_body 1s"}) as proxy,
    ):
        thread = Thread(target=refuse, daemon=True)
        thread.start()
        with proxy.open() as line:
            line.sendall(f"POST {ADDRESS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{{".encode())
            assert line.recv(65536).startswith(b"HTTP/1.1 408")
        thread.join()


def test_a_flood_from_one_address_gets_429_and_the_rest_is_served(tmp_path: Path, receiver: Process) -> None:
    if not NGINX:
        pytest.skip("nginx is not installed: apt-get install nginx")
    changes = {"rate=50r/s": "rate=1r/m", "burst=200": "burst=3"}
    with nginx(tmp_path, receiver.port, **changes) as proxy:
        answers = [proxy.send(ADDRESS, b'{"flood": %d}' % number) for number in range(10)]
        assert [status for status, _, _ in answers] == [200] * 4 + [429] * 6
        assert answers[-1][1]["Retry-After"] == "5"
        logs = proxy.logs(" 429 bytes=")
        assert " 429 bytes=" in logs
        assert TOKEN not in logs


def test_no_log_holds_the_path(start: MakeProxy, receiver: Process) -> None:
    proxy = start(free_port())  # nothing listens there: both log errors as well
    assert proxy.send(ADDRESS, b"{}", Referer=f"https://example.com{ADDRESS}")[0] == 502
    assert proxy.send(ADDRESS, b"x" * 300_000)[0] in (413, 502)
    with proxy.open() as line:
        line.sendall(f"POST {ADDRESS} HTTP/1.1\r\nno header\r\n\r\n".encode())
        line.recv(65536)
    logs = proxy.logs("502")
    assert "502" in logs
    assert TOKEN not in logs
