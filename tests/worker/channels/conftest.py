"""Real servers in this process for the channels to talk to, and a message to send."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiosmtpd
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from worker.channels import Message
from worker.settings import WorkerSettings

CERTIFICATES = Path(aiosmtpd.__file__).parent / "tests" / "certs"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

JANE = {
    "id": "guest-1",
    "fullname": "Jane Doe",
    "email": "jane@guests.example",
    "phone": "+1 555 0100",
}
JOHN = {"id": "guest-2", "firstname": "John", "lastname": "Roe", "email": "john@guests.example"}
HOST = {
    "id": 7,
    "external_id": "u-7",
    "name": "Anna Muster",
    "email": "anna@platform.example",
    "timezone": "Europe/Berlin",
    "language": "en",
}
MESSAGE = Message(
    id="msg_0123456789abcdef0123456789abcdef",
    kind="created",
    booking={
        "id": "appt-uuid-12345",
        "status": "confirmed",
        "starts_at": "2026-01-15T14:00:00+00:00",
        "ends_at": "2026-01-15T14:30:00+00:00",
        "meeting_type_id": "mt-1",
        "meeting_name": "Discovery Call",
        "meeting_link": "https://zoom.example/j/123?pwd=a&b=c",
        "location": None,
        "attendees": [JANE],
        "host_ids": ["host-uuid-123"],
        "metadata": {},
        "cancel_reason": None,
        "cancelled_by": None,
        "as_of": "2026-01-10T08:00:00+00:00",
        "revision": 1,
    },
    before=None,
    host=HOST,
    recipient="anna@platform.example",
    made_at=datetime(2026, 1, 10, 8, tzinfo=UTC),
)


@pytest.fixture
def make_message() -> Callable[..., Message]:
    """Build a message; the arguments override fields of the message, its booking or its host."""

    def changed(host: dict[str, Any] | None = HOST, **changes: Any) -> Message:
        booking = MESSAGE.booking | {name: changes.pop(name) for name in list(changes) if name in MESSAGE.booking}
        return replace(MESSAGE, booking=booking, host=host and HOST | host, **changes)

    return changed


@pytest.fixture
def guests() -> tuple[dict[str, Any], dict[str, Any]]:
    return JANE, JOHN


@pytest.fixture
def settings() -> Callable[..., WorkerSettings]:
    def made(**values: Any) -> WorkerSettings:
        usual = {
            "redis_url": "redis://127.0.0.1:1",
            "database_url": "sqlite:///unused.db",
            "mail_from": "Bücher <b@mail.example>",
        }
        return WorkerSettings(_env_file=None, **usual | {"notify_signing_secret": SIGNING_SECRET} | values)

    return made


class MailServerStub:
    """A mail server that records mails, and refuses commands on request.

    `refusals` maps an SMTP command to the reply that it gets instead.
    """

    def __init__(self, refusals: dict[str, str]) -> None:
        self.refusals = refusals
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.logins: list[LoginPassword] = []
        self.was_encrypted: list[bool] = []

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.refusals.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self.refusals.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" not in self.refusals:
            self.mails.append(BytesParser(policy=SMTP).parsebytes(envelope.content))
            self.envelopes.append(envelope)
            self.was_encrypted.append(session.ssl is not None)
        return self.refusals.get("DATA", "250 OK")

    async def handle_QUIT(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        return self.refusals.get("QUIT", "221 Bye")

    async def auth_XOAUTH2(self, server: Any, args: Any) -> AuthResult:  # noqa: N802
        """Offered beside PLAIN and LOGIN, as large providers do."""
        return AuthResult(success=False)

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        self.logins.append(login)
        return AuthResult(success="AUTH" not in self.refusals, handled=False)


class AnyPort(Controller):
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mail_server() -> Iterator[Callable[..., tuple[str, MailServerStub]]]:
    """Open a mail server; return its `host:port` and the server."""
    with ExitStack() as stack:

        def opened(refusals: dict[str, str] | None = None, **parameters: Any) -> tuple[str, MailServerStub]:
            server = MailServerStub(refusals or {})
            controller = AnyPort(
                server,
                hostname="127.0.0.1",
                port=0,
                server_hostname="test",
                authenticator=server.authenticate,
                **parameters,
            )
            controller.start()
            stack.callback(controller.stop)
            return f"127.0.0.1:{controller.port}", server

        yield opened


@pytest.fixture
def certificate() -> ssl.SSLContext:
    """A server certificate of no trusted authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.crt", CERTIFICATES / "server.key")
    return context


class Platform(ThreadingHTTPServer):
    """A platform that gives a configured response and records requests.

    Attributes:
        answer: status and headers of every answer.
        interim: statuses of interim responses before it.
        received: path, headers (names in lower case) and body of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answer: tuple[int, dict[str, str]] = (200, {})
        self.interim: Sequence[int] = ()
        self.body = b""
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Platform

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.path, headers, body))
        for interim in self.server.interim:
            self.send_response_only(interim)
            self.send_header("Link", "</style.css>; rel=preload")
            self.end_headers()
        status, answer_headers = self.server.answer
        self.send_response(status)
        for name, value in answer_headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def raw_platform() -> Iterator[Callable[[bytes], tuple[str, list[bytes]]]]:
    """Open a platform that answers one request with these bytes; return its `host:port` and the requests."""
    with ExitStack() as stack:

        def opened(answer: bytes) -> tuple[str, list[bytes]]:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            received: list[bytes] = []

            def serve() -> None:
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as lines:
                    head = b"".join(iter(lines.readline, b"\r\n"))
                    length = int(head.lower().partition(b"content-length:")[2].split()[0])
                    received.append(head + lines.read(length))
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join)
            return f"127.0.0.1:{server.getsockname()[1]}", received

        yield opened


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Return the `host:port` of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    """Return a `host:port` where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"
