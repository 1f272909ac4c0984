"""Channels are separated by commas. By anything else, all but the first would be lost without a word."""

import pytest

from worker.channels import UnusableChannel, open_channel
from worker.maintenance.alerts import UnusableAlert, open_alerts
from worker.settings import AlertSettings

SLACK = "slack://TAAAAAAAA/BAAAAAAAA/cccccccccccccccccccccccc/#ops"


@pytest.mark.parametrize(
    "url",
    [
        "log:;mailto:",
        "log: mailto:s3cret@firm.example",
        "Log:|HTTPS://firm.example/s3cret",
        "https://firm.example/s3cret;mailto:",
        f"{SLACK} log:",
        "json://firm.example/s3cret ntfy://topic",
        "ntfy://topic;mailto://user:s3cret@firm.example",
    ],
)
def test_two_channels_in_one_are_refused(url, settings):
    with pytest.raises(UnusableChannel, match=r"it holds another channel: separate channels by commas$") as failure:
        open_channel(url, settings(smtp_url="smtp://127.0.0.1"))
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("separator", [";", " ", "; ", " | "])
def test_alert_channels_are_refused_too(separator):
    given = AlertSettings(alert_channels=f"ntfy://topic{separator}ntfy://other")
    with pytest.raises(UnusableAlert, match=r"^ALERT_CHANNELS: .* separate channels by commas$"):
        open_alerts(given)


@pytest.mark.parametrize(
    "url",
    [
        "log:own",
        "https://firm.example/hook;v=1?next=https://other.example/",
        "https://firm.example/a|b",
        f"{SLACK}?footer=no",
        "json://firm.example/hook?-to=mailto:ops@firm.example",
    ],
)
def test_a_url_within_a_url_is_no_other_channel(url, settings):
    open_channel(url, settings())
