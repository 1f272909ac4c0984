"""No exchange lasts longer than its deadline, however slowly the other side drips, with any library."""

import socket
import time
from datetime import timedelta

import pytest
from standardwebhooks import Webhook
from urllib3.util import parse_url

from runtime.errors import Transient
from tests.worker.channels.slow_server import slow_server
from worker.channels.apprise import AppriseChannel
from worker.channels.base import Unresponsive
from worker.channels.mail.branding import MailBranding
from worker.channels.mail.channel import MailChannel
from worker.channels.mail.composer import MailComposer
from worker.channels.mail.headers import mailbox
from worker.channels.mail.smtp import MailServer
from worker.channels.mail.templates import MailTemplates
from worker.channels.webhook import WebhookChannel
from worker.deadline import Deadline

SOON = timedelta(milliseconds=400)
LATE = 60
"""Seconds. Most of these exchanges would otherwise never end."""
OK = b"HTTP/1.1 200 OK\r\n"
READY, HELLO = b"220 test ESMTP\r\n", b"250-test\r\n250-SIZE\r\n"

COMPOSER = MailComposer(mailbox("b@mail.example"), MailTemplates(MailBranding("", "#000000")))


@pytest.fixture(autouse=True)
def _in_time():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LATE


@pytest.mark.parametrize(
    ("lines", "drip"),
    [
        ((), b"HTTP/1.1 " + b" " * 5000),
        ((), b"x" * 5000),
        ((), b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status line", "no status line", "continue"],
)
def test_a_platform_that_drips_meets_the_deadline(lines, drip, make_message):
    with slow_server(*lines, drip=drip, waits_for=65536) as place:
        channel = WebhookChannel(parse_url(f"http://{place}/"), [Webhook(b"k" * 24)], timeout=SOON)

        with pytest.raises(Unresponsive, match=r"^the platform did not answer in time$"):
            channel.send(make_message())


@pytest.mark.parametrize("head", [OK, OK + b"x-long: "], ids=["headers", "one header"])
def test_a_2xx_counts_although_its_headers_drip(head, make_message):
    with slow_server(head, drip=b"x-drip: y\r\n", waits_for=65536) as place:
        WebhookChannel(parse_url(f"http://{place}/"), [Webhook(b"k" * 24)], timeout=SOON).send(make_message())


def test_a_complete_response_counts_although_its_body_drips(make_message):
    with slow_server(OK + b"transfer-encoding: chunked\r\n\r\n", drip=b"1\r\nx\r\n", waits_for=65536) as place:
        WebhookChannel(parse_url(f"http://{place}/"), [Webhook(b"k" * 24)], timeout=SOON).send(make_message())


def test_a_platform_that_drips_its_handshake_meets_the_deadline(make_message):
    with slow_server(b"\x16\x03\x03\x40\x00", drip=b"\x02", waits_for=1) as place:
        channel = WebhookChannel(parse_url(f"https://{place}/"), [Webhook(b"k" * 24)], timeout=SOON)

        with pytest.raises(Unresponsive):
            channel.send(make_message())


def test_a_platform_that_drips_through_tls_meets_the_deadline(make_message, certificate, monkeypatch):
    monkeypatch.setattr("ssl.SSLContext.verify_mode", 0, raising=False)
    with slow_server(OK, drip=b"x-drip: y\r\n", tls=certificate) as place:
        channel = WebhookChannel(parse_url(f"https://{place}/"), [Webhook(b"k" * 24)], timeout=SOON)

        with pytest.raises(Transient):
            channel.send(make_message())


@pytest.mark.parametrize(
    ("lines", "drip"),
    [
        ((), b"220 banner" + b"x" * 5000),
        ((), b"220-one\r\n"),
        ((READY,), b"250-more\r\n"),
        ((READY, HELLO + b"250 STARTTLS\r\n", b"220 go\r\n", b"\x16\x03\x03\x40\x00"), b"\x02"),
        ((READY, HELLO + b"250 OK\r\n"), b"250-more\r\n"),
        ((READY, HELLO + b"250 OK\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n"), b"2"),
    ],
    ids=["banner", "lines of the banner", "hello", "handshake", "sender", "message"],
)
def test_a_mail_server_that_drips_meets_the_deadline(lines, drip, make_message):
    with slow_server(*lines, drip=drip) as place:
        channel = MailChannel(MailServer(f"smtp://{place}", timeout=SOON), COMPOSER)

        with pytest.raises(Unresponsive, match=r"^the conversation with the mail server failed: it did not answer"):
            channel.send(make_message())


def test_a_mail_server_that_drips_its_handshake_meets_the_deadline(make_message):
    with slow_server(b"\x16\x03\x03\x40\x00", drip=b"\x02", waits_for=1) as place:
        channel = MailChannel(MailServer(f"smtps://{place}", timeout=SOON), COMPOSER)

        with pytest.raises(Unresponsive):
            channel.send(make_message())


@pytest.mark.parametrize(
    "lines", [(OK + b"content-length: 99999\r\n\r\n",), (b"HTTP/1.1 ",)], ids=["body", "status line"]
)
def test_an_apprise_service_that_drips_meets_the_deadline(lines, make_message):
    with slow_server(*lines, drip=b" ", waits_for=65536) as place:
        channel = AppriseChannel.open(f"json://{place}/", timeout=SOON)

        with pytest.raises(Unresponsive, match=r"^the service behind 'json:' did not answer in time$"):
            channel.send(make_message())
    _until_no_thread_of_apprise_works()


def _until_no_thread_of_apprise_works():
    from apprise.apprise import any_abandoned_calls_still_running

    until = time.monotonic() + 60
    while any_abandoned_calls_still_running():
        assert time.monotonic() < until, "a thread still waits for the service"
        time.sleep(0.01)


def test_all_addresses_of_a_name_share_one_deadline(monkeypatch, make_message):
    """With a timeout per address, the total was a multiple."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        taken = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 20
        monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_options: answer)
        channel = WebhookChannel(parse_url(f"http://many.example:{port}/"), [Webhook(b"k" * 24)], timeout=SOON)

        with pytest.raises(Unresponsive):
            channel.send(make_message())
        for each in taken:
            each.close()


def test_a_name_that_resolves_too_late_is_not_connected_to(monkeypatch, platform, make_message):
    known = socket.getaddrinfo

    def slow(*arguments, **options):
        time.sleep(2 * SOON.total_seconds())
        return known(*arguments, **options)

    monkeypatch.setattr("socket.getaddrinfo", slow)
    channel = WebhookChannel(parse_url(f"http://{platform.place}/"), [Webhook(b"k" * 24)], timeout=SOON)

    with pytest.raises(Unresponsive):
        channel.send(make_message())

    assert platform.received == []


def test_a_deadline_ends_with_its_block(platform):
    with Deadline(timedelta(milliseconds=20)):
        pass
    time.sleep(0.05)
    host, _, port = platform.place.partition(":")
    socket.create_connection((host, int(port))).close()
