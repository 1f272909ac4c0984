import base64
import hashlib
import hmac
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from urllib3.util import parse_url

from runtime.errors import Failure, Permanent, Transient
from tests.worker.channels.conftest import SIGNING_SECRET
from worker.channels import UnusableChannel, open_channel
from worker.channels.webhook import WebhookChannel


@pytest.fixture
def channel(platform, settings):
    return open_channel(f"http://{platform.place}/hooks/s3cret?token=t0ken", settings())


def test_the_platform_can_verify_the_signature_with_the_standard_library(channel, platform, make_message):
    channel.send(make_message())

    _, headers, body = platform.received[0]
    assert Webhook(SIGNING_SECRET).verify(body, headers)["type"] == "booking.created"


def test_the_signature_is_an_hmac_over_id_time_and_body(channel, platform, make_message):
    channel.send(make_message())

    _, headers, body = platform.received[0]
    key = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_each_secret_signs_so_that_a_platform_with_any_of_them_accepts(platform, make_message, settings):
    secrets = ["whsec_" + "b2xk" * 8, SIGNING_SECRET]
    listed = settings(notify_signing_secret=f" {secrets[0]} ,\n{secrets[1]}\n")

    open_channel(f"http://{platform.place}/", listed).send(make_message())

    _, headers, body = platform.received[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert [Webhook(each).verify(body, headers)["type"] for each in secrets] == ["booking.created"] * 2
    oldest, _newest = headers["webhook-signature"].split(" ")
    assert Webhook(secrets[0]).verify(body, headers | {"webhook-signature": oldest})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "bmV3" * 8).verify(body, headers)


def test_the_body_holds_the_booking_before_and_after_and_its_host(channel, platform, make_message):
    before = {"starts_at": "2026-01-14T14:00:00+00:00"}
    message = make_message(kind="rescheduled", before=before)

    channel.send(message)

    path, headers, body = platform.received[0]
    assert path == "/hooks/s3cret?token=t0ken"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "booking.rescheduled",
        "timestamp": "2026-01-10T08:00:00+00:00",
        "data": {
            "booking": {"account": "default", **message.booking},
            "before": before,
            "host": {"account": "default", **message.host},
        },
    }


def test_a_retry_has_the_same_id_and_bytes_but_a_new_timestamp(platform, make_message):
    times = iter(datetime(2026, 1, 10, hour, tzinfo=UTC) for hour in range(8, 20))
    channel = WebhookChannel(parse_url(f"http://{platform.place}/"), [Webhook(b"k" * 24)], clock=lambda: next(times))

    channel.send(make_message())
    channel.send(make_message())

    (_, first, first_body), (_, second, second_body) = platform.received
    assert first["webhook-id"] == second["webhook-id"] == "msg_0123456789abcdef0123456789abcdef"
    assert first_body == second_body
    assert int(first["webhook-timestamp"]) == int(datetime(2026, 1, 10, 8, tzinfo=UTC).timestamp())
    assert int(second["webhook-timestamp"]) > int(first["webhook-timestamp"])


def test_an_overloaded_platform_is_retried_after_the_requested_delay(channel, platform, make_message):
    platform.answer = (503, {"Retry-After": "90"})

    with pytest.raises(Transient, match=r"^the platform answered 503$") as failure:
        channel.send(make_message())

    assert failure.value.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize("interim", [[100], [102, 102], [103], [100, 103, 199]])
@pytest.mark.parametrize("status", [200, 503])
def test_interim_responses_are_skipped(channel, platform, make_message, interim, status):
    platform.interim, platform.answer = interim, (status, {})

    with nullcontext() if status == 200 else pytest.raises(Transient, match=r"^the platform answered 503$"):
        channel.send(make_message())

    assert len(platform.received) == 1


ODD_HEADERS = {
    "too many": b"X-Filler: x\r\n" * 150,
    "a long one": b"Set-Cookie: " + b"x" * 100_000 + b"\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 2\r\n",
    "two lengths in one": b"Content-Length: 0, 2\r\n",
    "no number": b"Content-Length: x\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "an unknown coding": b"Transfer-Encoding: gzip, chunked\r\nContent-Encoding: x\r\n",
    "not a header": b"hello\r\nX-After: \xff\r\n",
    "folded": b"X-Folded: a\r\n b\r\n",
    "line ends": b"X-A: a\nX-B: b\n",
}


@pytest.mark.parametrize("headers", ODD_HEADERS.values(), ids=ODD_HEADERS)
@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_with_odd_headers_counts_by_its_status(raw_platform, make_message, headers, status):
    place, received = raw_platform(b"HTTP/1.1 %d Odd\r\n%b\r\nok" % (status, headers))
    channel = WebhookChannel(parse_url(f"http://{place}/"), [Webhook(b"k" * 24)])

    with nullcontext() if status == 200 else pytest.raises(Transient, match=r"^the platform answered 503$"):
        channel.send(make_message())

    assert len(received) == 1


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_without_a_status_counts_as_none(raw_platform, make_message, answer):
    place, _ = raw_platform(answer)
    channel = WebhookChannel(parse_url(f"http://{place}/"), [Webhook(b"k" * 24)])

    with pytest.raises(Transient, match=r"^the platform could not be reached"):
        channel.send(make_message())


def test_410_is_final(channel, platform, make_message):
    platform.answer = (410, {})

    with pytest.raises(Permanent, match=r"^the platform answered 410$"):
        channel.send(make_message())


def test_a_redirect_is_not_followed(channel, platform, make_message):
    for status in (307, 308):
        platform.answer = (status, {"Location": "/elsewhere"})
        with pytest.raises(Failure, match="redirects are not followed"):
            channel.send(make_message())

    assert [path for path, _headers, _body in platform.received] == ["/hooks/s3cret?token=t0ken"] * 2


def test_an_endless_response_is_not_read(channel, platform, make_message):
    platform.answer = (200, {"Content-Length": str(10**12)})
    platform.body = b"x" * 100_000

    channel.send(make_message())

    assert len(platform.received) == 1


def test_a_platform_that_hangs_times_out(silent_server, make_message):
    channel = WebhookChannel(
        parse_url(f"http://{silent_server}/s3cret"), [Webhook(b"k" * 24)], timeout=timedelta(milliseconds=50)
    )

    with pytest.raises(Transient, match=r"^the platform did not answer in time$"):
        channel.send(make_message())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_platform_that_is_down_is_retried_and_the_error_holds_no_secret(scheme, closed_port, make_message, settings):
    channel = open_channel(f"{scheme}://user:pa55@{closed_port}/s3cret?token=t0ken", settings())

    with pytest.raises(Transient) as failure:
        channel.send(make_message())

    assert str(failure.value) == "the platform could not be reached (NewConnectionError)"
    assert "s3cret" not in str(failure.value.__cause__)


def test_credentials_in_the_url_become_a_header(platform, make_message, settings):
    open_channel(f"http://us%40er:pä55@{platform.place}/", settings()).send(make_message())

    path, headers, _ = platform.received[0]
    assert path == "/"
    assert headers["authorization"] == "Basic " + base64.b64encode("us@er:pä55".encode()).decode()


@pytest.mark.parametrize(
    ("url", "name", "recipient"),
    [
        ("https://user:pa55@platform.example/s3cret?t=1#f", "https", "platform.example"),
        ("http://platform.example:8080/s3cret", "http", "platform.example:8080"),
        ("https://[::1]:8443/s3cret", "https", "[::1]:8443"),
    ],
)
def test_only_the_host_of_the_url_is_shown(url, name, recipient, settings):
    channel = open_channel(url, settings())

    assert (channel.name, channel.recipient) == (name, recipient)


@pytest.mark.parametrize("secrets", ["", " , "])
def test_without_a_secret_the_error_says_what_to_set(secrets, settings):
    with pytest.raises(UnusableChannel, match=r"NOTIFY_SIGNING_SECRET is not set: set it to `whsec_` followed by"):
        open_channel("https://platform.example/", settings(notify_signing_secret=secrets))


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_not base64!", "whsec_dG9vIHNob3J0", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="]
)
@pytest.mark.parametrize("position", [1, 2])
def test_a_malformed_secret_is_named_by_its_position_without_being_quoted(secret, position, settings):
    secrets = [secret, SIGNING_SECRET] if position == 1 else [SIGNING_SECRET, secret]
    with pytest.raises(UnusableChannel, match=f"secret {position} of NOTIFY_SIGNING_SECRET cannot be") as failure:
        open_channel("https://platform.example/", settings(notify_signing_secret=",".join(secrets)))

    assert not secret[6:] or secret[6:] not in str(failure.value)
    assert SIGNING_SECRET[6:] not in str(failure.value)


@pytest.mark.parametrize(
    "url",
    [
        "https:",
        "https://",
        "https:///s3cret",
        "https://host:s3cret/",
        "https://host:99999/",
        "https://s3cret..example/",
        f"https://s3cret.{64 * 'a'}.example/",
        f"https://s3cret.{64 * 'ä'}.example/",
    ],
)
def test_an_incomplete_url_is_rejected_without_being_quoted(url, settings):
    with pytest.raises(UnusableChannel) as failure:
        open_channel(url, settings())

    assert "s3cret" not in str(failure.value)
    assert "99999" not in str(failure.value)
