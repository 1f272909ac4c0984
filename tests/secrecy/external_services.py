"""A mail server and a platform that can turn hostile and quote what they received."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from devtools.redis_server import free_port


@dataclass
class ExternalServices:
    """Attributes:
    http: port of the platform, and of every service behind Apprise.
    smtp: port of the mail server.
    is_hostile: whether they reject everything and quote it in the response.
    calls: number of calls of either.
    """

    http: int
    smtp: int
    mail: Controller
    is_hostile: bool = False
    calls: int = 0


class Mailbox:
    """Return the mail server's reply."""

    services_outside: ExternalServices

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _: Any) -> str:  # noqa: N802 - aiosmtpd's
        """Reject with the address in the reply."""
        self.services_outside.calls += 1
        if self.services_outside.is_hostile:
            return f"550 5.1.1 <{address}> is nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@contextmanager
def open_external_services() -> Iterator[ExternalServices]:
    """Run both servers on this machine until the block ends."""
    box = Mailbox()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received = f"{self.path} {dict(self.headers)} ".encode() + self.rfile.read(
                int(self.headers["content-length"])
            )
            box.services_outside.calls += 1
            self.send_response(500 if box.services_outside.is_hostile else 200)
            self.send_header("content-length", str(len(received)))
            self.end_headers()
            self.wfile.write(received)

        def log_message(self, *_args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        box.services_outside = ExternalServices(server.server_port, controller.port, controller)
        controller.start()
        Thread(target=server.serve_forever, daemon=True).start()
        yield box.services_outside
        server.shutdown()
        if controller.loop.is_running():
            controller.stop()
