import json
import logging
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from apprise.manager_plugins import NotificationManager

from runtime import logs
from runtime.errors import Transient
from worker.channels import UnusableChannel, open_channel
from worker.channels.apprise import AppriseChannel

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _loggers_as_in_production():
    levels = {name: logging.getLogger(name).level for name in logs.NOISY_LIBRARIES}
    for name in logs.NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def channel(platform, settings):
    return open_channel(f"json://user:pa55@{platform.place}/s3cret", settings())


def test_apprise_sends_the_subject_and_the_text(channel, platform, make_message):
    channel.send(make_message())

    sent = json.loads(platform.received[0][2])
    assert sent["title"] == "New booking: Discovery Call with Jane Doe (Thu, 15 Jan, 15:00)"
    assert "A new meeting has been booked." in sent["message"]
    assert "Host: Anna Muster" in sent["message"]


def test_apprise_writes_in_the_language_of_the_host(channel, platform, make_message):
    channel.send(make_message(host={"language": "de"}))

    sent = json.loads(platform.received[0][2])
    assert sent["title"] == "Neue Buchung: Discovery Call mit Jane Doe (Do., 15. Jan., 15:00 Uhr)"


def test_only_the_scheme_of_the_url_is_shown(channel):
    assert (channel.name, channel.recipient) == ("json", "json")


def test_a_service_that_refuses_is_retried(channel, platform, make_message):
    platform.answer = (500, {})

    with pytest.raises(Transient, match=r"^the service behind 'json:' did not take the message$"):
        channel.send(make_message())


def test_a_service_that_is_down_is_retried(closed_port, make_message, settings):
    with pytest.raises(Transient):
        open_channel(f"json://{closed_port}/s3cret", settings()).send(make_message())


def test_a_service_that_hangs_times_out(silent_server, make_message):
    import apprise

    service = apprise.Apprise(f"json://{silent_server}/s3cret?rto=1")
    channel = AppriseChannel("json", service, timeout=timedelta(milliseconds=50))

    with pytest.raises(Transient):
        channel.send(make_message())


@pytest.mark.parametrize("url", ["bogus://s3cret", "slack://s3cret", "json://"])
def test_a_url_that_apprise_cannot_use_is_rejected_without_being_quoted(url, settings):
    with pytest.raises(UnusableChannel, match="Apprise does not know it") as failure:
        open_channel(url, settings())

    assert "s3cret" not in str(failure.value)


def test_apprise_prints_nothing(channel, platform, make_message, settings, capfd, caplog):
    platform.answer = (500, {})
    with pytest.raises(Transient):
        channel.send(make_message())
    with pytest.raises(UnusableChannel):
        open_channel("slack://s3cret", settings())

    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize("option", ["", "?redirect=yes"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status, option, platform, make_message, settings):
    """A channel's server could otherwise have guests' data posted to internal machines."""
    platform.answer = (status, {"Location": f"http://{platform.place}/inside"})

    with pytest.raises(Transient):
        open_channel(f"json://{platform.place}/outside{option}", settings()).send(make_message())

    assert [path for path, _, _ in platform.received] == ["/outside"]


@pytest.fixture
def post(platform, settings):
    """Send a message to a Mattermost, which takes 4,000 characters; return the text that it gets."""

    def posted(message, options=""):
        open_channel(f"mmost://{platform.place}/{'a' * 26}{options}", settings()).send(message)
        return [json.loads(body)["text"] for _, _, body in platform.received]

    return posted


@pytest.mark.parametrize("kind", ["created", "attendee_left"])
def test_a_message_lists_as_many_guests_as_the_service_takes(kind, post, make_message):
    guests = [
        {
            "id": f"g{each}",
            "fullname": f"Guest {each}",
            "email": f"guest-{each}@guests.example",
            "phone": "+49 30 901820",
        }
        for each in range(250)
    ]

    (text,) = post(make_message(kind=kind, attendees=guests, before={"attendees": guests[:1]}))

    assert 2000 < len(text) < 4000
    assert "Guest 49, guest-49@guests.example" in text
    assert "  - ... and 200 more\nMeeting link: https://zoom.example/j/123?pwd=a&b=c\n" in text


def test_a_summary_lists_as_many_bookings_as_the_service_takes(post, make_message):
    message = make_message(kind="summary")
    message = replace(message, bookings=[message.booking | {"attendees": []}] * 100, total=120)

    (text,) = post(message)

    assert 2000 < len(text) < 4000
    assert "  - ... and 70 more\n" in text


def test_a_guest_with_a_very_long_name_does_not_keep_the_host_from_being_notified(post, make_message):
    long = "x" * 2000

    (text,) = post(make_message(attendees=[{"id": "g", "fullname": long, "email": long}], location=long))

    assert len(text) == 4000
    assert text.startswith("New booking: Discovery Call with xxx")
    assert text.endswith("x…")


def test_a_service_that_takes_more_gets_all(channel, platform, make_message):
    guests = [{"id": f"g{each}", "fullname": f"Guest {each}" * 20} for each in range(100)]

    channel.send(make_message(attendees=guests))

    assert "Guest 99" in json.loads(platform.received[0][2])["message"]


def test_a_url_can_ask_for_several_messages(post, make_message):
    guests = [{"id": f"g{each}", "fullname": f"Guest {each}" * 10} for each in range(100)]

    texts = post(make_message(attendees=guests), "?overflow=split")

    assert len(texts) > 1
    assert "Guest 99" in texts[-1]


def test_a_service_that_reads_markdown_gets_our_text_as_it_is(platform, settings, make_message, guests):
    """Such as Teams. Backslashes would break the link, and a list would swallow the next line."""
    platform.body = b'{"status": "success", "data": {"authToken": "t", "userId": "u"}}'

    open_channel(f"rocket://user:pa55@{platform.place}/#bookings", settings()).send(make_message(attendees=guests))

    (text,) = [json.loads(body)["text"] for path, _, body in platform.received if path.endswith("postMessage")]
    assert "(Europe/Berlin)\nWith:\n  • Jane Doe, jane@guests.example, +1 555 0100\n  • John Roe, " in text
    assert "\nMeeting link: https://zoom.example/j/123?pwd=a&b=c\n" in text


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_teams_shows_each_line(platform, certificate, settings, make_message):
    """A card's text is Markdown, in which lines that a single line end separates are one."""
    platform.socket = certificate.wrap_socket(platform.socket, server_side=True)

    open_channel(f"workflows://{platform.place}/{'a' * 32}/signature?verify=no", settings()).send(make_message())

    (card,) = json.loads(platform.received[0][2])["attachments"]
    (text,) = [block["text"] for block in card["content"]["body"] if block.get("id") == "body"]
    assert "\n\nMeeting link: https://zoom.example/j/123?pwd=a&b=c\n\nHost: Anna Muster\n\n" in text
    assert not re.search(r"(?<!\n)\n(?!\n)", text)


@pytest.mark.parametrize("path", ["docs/platform.md", ".env.example"])
def test_apprise_knows_each_service_that_we_name(path):
    named = set(re.findall(r"\b([a-z]+)://\.\.\.", (ROOT / path).read_text())) - {"rediss"}

    assert "slack" in named
    assert not [name for name in named if name not in NotificationManager()]
