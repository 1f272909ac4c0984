import json
import logging
from datetime import timedelta

import pytest

from runtime import logs
from runtime.errors import Transient
from worker.channels import UnusableChannel, open_channel
from worker.channels.apprise import AppriseChannel


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
