"""Sinks: a platform that receives signed POSTs and a mail server; both can be made to misbehave."""

import asyncio
import email
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.policy import default
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook, WebhookVerificationError

from devtools.redis_server import free_port
from tests.faults.received_messages import ReceivedMessage, ReceivedMessages

Behaviour = Literal["well", "fails", "hangs", "drips", "says later", "hangs up"]
"""`hangs up`: accepts the message and drops the connection without a response. `drips`: responds byte by byte, without
end.
"""
DRIP_SECONDS = 0.5
ACCEPTING = ("well", "hangs up")
RETRY_AFTER_SECONDS = 3
SECRET = "whsec_c2lnbnMgdGhlIG5ld3MgaW4gdGhlIGZhdWx0cyE="


class Sink:
    """Common parts of both sinks.

    Attributes:
        url: the channel.
        behaviour: how it treats what comes.
        received_messages: what came.
    """

    def __init__(self, received_messages: ReceivedMessages) -> None:
        self.url = ""
        self.behaviour: Behaviour = "well"
        self.recovered = Event()
        self.received_messages = received_messages

    def behave(self, behaviour: Behaviour) -> None:
        """Set the behaviour; hanging requests continue when it becomes healthy."""
        self.behaviour = behaviour
        self.recovered.set() if behaviour == "well" else self.recovered.clear()


class PlatformSink(Sink):
    """Verifies each POST, as a platform should."""

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]] | None:
        """Return the response; None to drop the connection."""
        behaviour = self.behaviour
        try:
            Webhook(SECRET).verify(body, headers)
        except WebhookVerificationError as error:
            self.received_messages.strange.append(f"{error} {body[:80]!r}")
            return 401, {}
        self.received_messages.note(_post(headers["webhook-id"], body, behaviour))
        if behaviour == "hangs":
            self.recovered.wait()
            return None
        if behaviour in ("hangs up", "drips"):
            return None
        return {"well": (204, {}), "fails": (500, {}), "says later": (429, {"retry-after": str(RETRY_AFTER_SECONDS)})}[
            behaviour
        ]


@contextmanager
def platform(received_messages: ReceivedMessages) -> Iterator[PlatformSink]:
    """Listen until the block ends."""
    sink = PlatformSink(received_messages)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = sink.take({name.lower(): value for name, value in self.headers.items()}, body)
            if sink.behaviour == "drips":
                self._drip()
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            for name, value in answer[1].items():
                self.send_header(name, value)
            self.end_headers()

        def _drip(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1")
                while not sink.recovered.wait(DRIP_SECONDS):
                    self.wfile.write(b" ")

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.url = f"http://127.0.0.1:{server.server_port}/bookings"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield sink
        finally:
            sink.behave("well")
            server.shutdown()


class MailSink(Sink):
    """An SMTP server; `url` is the channel, `smtp_url` its address."""

    smtp_url = ""

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        behaviour = self.behaviour
        self.received_messages.note(_mail_message(envelope.content, behaviour))
        if behaviour == "hangs":
            await _until(self.recovered)
        while behaviour == "drips" and not self.recovered.is_set():
            _server.transport.write(b"4")
            await asyncio.sleep(DRIP_SECONDS)
        if behaviour == "hangs up":
            _server.transport.abort()
        return "250 OK" if behaviour == "well" else "451 try again later"


@contextmanager
def mail_sink(received_messages: ReceivedMessages) -> Iterator[MailSink]:
    """Listen until the block ends."""
    sink, port = MailSink(received_messages), free_port()
    sink.url, sink.smtp_url = "mailto:", f"smtp://127.0.0.1:{port}"
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield sink
    finally:
        sink.behave("well")
        controller.stop()


async def _until(event: Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.05)


def _post(message_id: str, body: bytes, behaviour: Behaviour) -> ReceivedMessage:
    booking, content = json.loads(body)["data"]["booking"], sha256(body).hexdigest()
    return ReceivedMessage(
        message_id, content, booking["id"], booking["revision"], behaviour in ACCEPTING, behaviour != "hangs up"
    )


def _mail_message(content: bytes, behaviour: Behaviour) -> ReceivedMessage:
    """Identify a mail, which names no booking or revision, by its text, which is unique in these scenarios."""
    mail = email.message_from_bytes(content, policy=default)
    text = mail.get_body(("plain",))
    says = f"{mail['subject']}\n{text.get_content() if text else ''}"
    message_id = mail["message-id"].strip("<>").partition("@")[0]
    return ReceivedMessage(
        message_id, sha256(says.encode()).hexdigest(), "", 0, behaviour in ACCEPTING, behaviour != "hangs up"
    )
