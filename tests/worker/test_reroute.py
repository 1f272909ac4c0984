"""A notification that died because of its channel is replayed through the current channel."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from devtools.send import samples
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.replay.service import ReplayService
from tests.worker.channels.conftest import SIGNING_SECRET, Platform, mail_server
from tests.worker.channels.conftest import platform as platform
from tests.worker.harness import AT, START, Harness
from worker.maintenance.failed_jobs import replay_requeued

CREATED = samples.created("b1", START, AT)
__all__ = ["mail_server", "platform"]
"""Settings of the channels."""


def replay(harness: Harness) -> None:
    rows = [row for row in harness.all(Notification) if row.status == "dead"]
    ReplayService(harness.services, "somebody").replay_notifications([row.id for row in rows], datetime.now(UTC))
    harness.send_all()


def outcome(harness: Harness) -> list[tuple[str, str, str, str | None]]:
    return [(row.channel, row.recipient, row.status, row.last_error) for row in harness.all(Notification)]


def set_channels(harness: Harness, channels: list[Any]) -> None:
    with harness.services.database.transaction() as session:
        session.execute(update(PlatformUser).values(channels=channels))


def test_a_notification_that_died_without_a_mail_server_says_so_and_is_sent_once_it_is_set(
    open_harness: Callable[..., Harness], mail_server: Callable[..., Any]
) -> None:
    harness = open_harness(mail_from="b@mail.example", smtp_url="")
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:"], email="anna@platform.example")
    harness.process(CREATED)
    harness.send_all()
    [(channel, recipient, status, error)] = outcome(harness)
    assert (channel, recipient, status) == ("mailto", "anna@platform.example", "dead")
    assert "SMTP_URL is not set" in str(error)
    place, services = mail_server()
    harness = open_harness(mail_from="b@mail.example", smtp_url=f"smtp://{place}")
    replay(harness)
    assert outcome(harness) == [("mailto", "anna@platform.example", "done", None)]
    assert services.envelopes[0].rcpt_tos == ["anna@platform.example"]


def test_a_notification_that_died_before_its_recipient_was_stored_finds_the_recipient(
    open_harness: Callable[..., Harness], mail_server: Callable[..., Any]
) -> None:
    harness = open_harness(mail_from="b@mail.example", smtp_url="")
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:"], email="anna@platform.example")
    harness.process(CREATED)
    harness.send_all()
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(channel="unusable", recipient="unknown"))
    place, _ = mail_server()
    harness = open_harness(mail_from="b@mail.example", smtp_url=f"smtp://{place}")
    [row] = harness.all(Notification)
    replay_requeued(harness.services, "outbox", str(row.id), datetime.now(UTC))
    harness.send_all()
    assert outcome(harness) == [("mailto", "anna@platform.example", "done", None)]


def test_a_replay_uses_the_recipients_current_channel(open_harness: Callable[..., Harness], platform: Platform) -> None:
    harness = open_harness(notify_signing_secret=SIGNING_SECRET)
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["ftp://x", "log:"])
    harness.process(CREATED)
    harness.send_all()
    assert sorted(each[:3] for each in outcome(harness)) == [("ftp", "ftp", "dead"), ("log", "log", "done")]
    set_channels(harness, ["log:", f"http://{platform.place}/hook"])
    replay(harness)
    assert sorted(each[:3] for each in outcome(harness)) == [("http", platform.place, "done"), ("log", "log", "done")]
    assert len(platform.received) == 1


def test_a_recipient_notified_by_every_remaining_channel_is_not_notified_twice(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness()
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["ftp://x", "log:"])
    harness.process(CREATED)
    harness.send_all()
    set_channels(harness, ["log:"])
    replay(harness)
    assert sorted(each[2:] for each in outcome(harness)) == [
        ("dead", "the channel is not configured any more"),
        ("done", None),
    ]


@pytest.mark.parametrize(
    ("url", "channel", "recipient"),
    [
        ("https://user:s3cret@platform.example/s3cret", "https", "platform.example"),
        ("mailto://user:s3cret@gmail.com", "mailto", "unknown"),
        ("slack://s3cret", "slack", "slack"),
        ("mailt:", "mailt", "mailt"),
        ("s3cret", "unusable", "unknown"),
        ("\x1b[31ms3cret://x", "unusable", "unknown"),
        ("", "unusable", "unknown"),
    ],
)
def test_an_unusable_channel_is_named_without_its_secrets(
    open_harness: Callable[..., Harness], url: str, channel: str, recipient: str
) -> None:
    harness = open_harness()
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=[url])
    harness.process(CREATED)
    harness.send_all()
    [(name, reader, status, error)] = outcome(harness)
    assert (name, reader, status) == (channel, recipient, "dead")
    assert "s3cret" not in str(error)
