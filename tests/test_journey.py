"""One webhook through real parts: receiver process, Redis, worker process, SMTP server, platform."""

import base64
import email
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from redis import Redis
from sqlalchemy import select

from devtools.demo.webhook_sink import WebhookSink, open_webhook_sink
from devtools.processes import environment, processes, wait_until_ready
from devtools.redis_server import free_port
from devtools.send import samples
from devtools.send.client import Sender
from models.booking import Booking
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.waiting import wait_until

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four b").decode()


class Mailbox(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[EmailMessage] = []

    def prepare_message(self, session: object, envelope: object) -> EmailMessage:
        content = envelope.content  # type: ignore[attr-defined]
        message = email.message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    def handle_message(self, message: EmailMessage) -> None:  # type: ignore[override]
        self.mails.append(message)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    mail_handler, port = Mailbox(), free_port()
    controller = Controller(mail_handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield mail_handler, f"smtp://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def webhook_sink() -> Iterator[WebhookSink]:
    with open_webhook_sink(SECRET) as sink:
        yield sink


def test_a_webhook_becomes_a_booking_a_mail_and_a_signed_post(
    database: Database,
    database_url: str,
    redis: Redis,
    redis_url: str,
    mailbox: tuple[Mailbox, str],
    webhook_sink: WebhookSink,
    tmp_path: Path,
) -> None:
    mail_handler, smtp_url = mailbox
    keys, port = secrets.token_urlsafe(32), free_port()
    env = environment(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": keys,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SMTP_URL": smtp_url,
            "MAIL_FROM": "bookings@platform.example",
            "NOTIFY_DEFAULT": f"mailto:,log:,{webhook_sink.url}",
            "NOTIFY_SIGNING_SECRET": SECRET,
        }
    )
    with database.transaction() as session:
        host = PlatformUser(external_id="17", meetergo_user_id=samples.HOST_ID, email="host@example.com", language="de")
        session.add(host)
    address = AddressSigner([keys]).path("default")
    sender = Sender(f"http://127.0.0.1:{port}{address}")
    now = datetime.now(UTC).replace(microsecond=0)
    start, rescheduled = now + timedelta(days=1), samples.rescheduled
    bodies = [
        samples.created("b1", start, now),
        rescheduled("b1", start + timedelta(hours=1), now + timedelta(minutes=1), start),
        samples.cancelled("b1", start + timedelta(hours=1), now + timedelta(minutes=2)),
    ]
    with processes(env, tmp_path) as logs:
        wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
        for body in bodies:
            response = sender.send(json.dumps(body).encode())
            assert (response.status, response.body["status"]) == (200, "accepted")
            with database.read_only() as session:
                assert session.get(Delivery, response.body["delivery"])
            mails_before = len(mail_handler.mails)
            wait_until(lambda: len(mail_handler.mails) > mails_before and len(webhook_sink.received) > mails_before)  # noqa: B023 - called at once

        def all_done() -> bool:
            with database.read_only() as session:
                return {*session.scalars(select(Notification.status)), *session.scalars(select(Delivery.status))} == {
                    "done"
                }

        wait_until(all_done)
    with database.read_only() as session:
        booking = session.get_one(Booking, "b1")
    assert (booking.status, booking.starts_at) == ("cancelled", start + timedelta(hours=1))
    assert booking.platform_user_id == host.id
    assert sorted(webhook_sink.received.values()) == ["booking.cancelled", "booking.created", "booking.rescheduled"]
    assert [mail["to"] for mail in mail_handler.mails] == ["host@example.com"] * 3
    assert len({mail["message-id"] for mail in mail_handler.mails}) == 3
    calendar = [part for part in mail_handler.mails[-1].walk() if part.get_content_type() == "text/calendar"]
    assert "METHOD:CANCEL" in calendar[0].get_content()
    logged = "".join(log.read_text() for log in logs.values())
    for secret in (keys, address.rpartition("/")[2], SECRET, "host@example.com", "guest-1@example.com", "Guest 1"):
        assert secret not in logged
    in_redis = b"".join(bytes(redis.dump(key) or b"") for key in redis.scan_iter("*"))
    assert b"example.com" not in in_redis
