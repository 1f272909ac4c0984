"""A notification that died of its channel is replayed through the channel as it is now."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from devtools.send import samples
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.replay.service import ReplayService
from tests.worker.channels.conftest import SIGNING_SECRET, Platform, post_office
from tests.worker.channels.conftest import platform as platform
from tests.worker.desk import AT, START, Desk

CREATED = samples.created("b1", START, AT)
__all__ = ["platform", "post_office"]
"""Fixtures of the channels."""


def replay(desk: Desk) -> None:
    rows = [row for row in desk.all(Notification) if row.status == "dead"]
    ReplayService(desk.office, "somebody").replay_notifications([row.id for row in rows], datetime.now(UTC))
    desk.send_all()


def became(desk: Desk) -> list[tuple[str, str, str, str | None]]:
    return [(row.channel, row.recipient, row.status, row.last_error) for row in desk.all(Notification)]


def set_channels(desk: Desk, channels: list[Any]) -> None:
    with desk.office.database.transaction() as session:
        session.execute(update(PlatformUser).values(channels=channels))


def test_what_died_without_a_mail_server_names_it_and_goes_out_once_it_is_set(
    open_desk: Callable[..., Desk], post_office: Callable[..., Any]
) -> None:
    desk = open_desk(mail_from="b@mail.example", smtp_url="")
    desk.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:"], email="anna@platform.example")
    desk.tell(CREATED)
    desk.send_all()
    [(channel, recipient, status, error)] = became(desk)
    assert (channel, recipient, status) == ("mailto", "anna@platform.example", "dead")
    assert "SMTP_URL is not set" in str(error)
    place, office = post_office()
    desk = open_desk(mail_from="b@mail.example", smtp_url=f"smtp://{place}")
    replay(desk)
    assert became(desk) == [("mailto", "anna@platform.example", "done", None)]
    assert office.envelopes[0].rcpt_tos == ["anna@platform.example"]


def test_what_died_before_the_reader_was_kept_finds_the_reader_again(
    open_desk: Callable[..., Desk], post_office: Callable[..., Any]
) -> None:
    desk = open_desk(mail_from="b@mail.example", smtp_url="")
    desk.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:"], email="anna@platform.example")
    desk.tell(CREATED)
    desk.send_all()
    with desk.office.database.transaction() as session:
        session.execute(update(Notification).values(channel="unusable", recipient="unknown"))
    place, _ = post_office()
    desk = open_desk(mail_from="b@mail.example", smtp_url=f"smtp://{place}")
    [row] = desk.all(Notification)
    desk.office.outbox.retry(str(row.id))
    assert became(desk) == [("mailto", "anna@platform.example", "done", None)]


def test_a_replay_goes_by_the_channel_that_its_reader_has_now(
    open_desk: Callable[..., Desk], platform: Platform
) -> None:
    desk = open_desk(notify_signing_secret=SIGNING_SECRET)
    desk.add_user(meetergo_user_id=samples.HOST_ID, channels=["ftp://x", "log:"])
    desk.tell(CREATED)
    desk.send_all()
    assert sorted(each[:3] for each in became(desk)) == [("ftp", "ftp", "dead"), ("log", "log", "done")]
    set_channels(desk, ["log:", f"http://{platform.place}/hook"])
    replay(desk)
    assert sorted(each[:3] for each in became(desk)) == [("http", platform.place, "done"), ("log", "log", "done")]
    assert len(platform.received) == 1


def test_who_heard_it_by_every_channel_that_is_left_does_not_hear_it_twice(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    desk.add_user(meetergo_user_id=samples.HOST_ID, channels=["ftp://x", "log:"])
    desk.tell(CREATED)
    desk.send_all()
    set_channels(desk, ["log:"])
    replay(desk)
    assert sorted(each[2:] for each in became(desk)) == [
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
def test_a_channel_that_cannot_be_used_is_named_without_its_secrets(
    open_desk: Callable[..., Desk], url: str, channel: str, recipient: str
) -> None:
    desk = open_desk()
    desk.add_user(meetergo_user_id=samples.HOST_ID, channels=[url])
    desk.tell(CREATED)
    desk.send_all()
    [(name, reader, status, error)] = became(desk)
    assert (name, reader, status) == (channel, recipient, "dead")
    assert "s3cret" not in str(error)
