"""What a recipient was notified of is not forgotten while it may still decide what they are sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from devtools.send import samples
from models.notification import SUPERSEDED, Notification
from models.platform_user import PlatformUser
from models.privacy.retention import prune
from operations.replay.service import ReplayService
from tests.worker.harness import AT, START, Harness, later, soon
from worker.channels.log import LogChannel
from worker.maintenance.sweeper import link_new_users

KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}
MONTHS_LATER = datetime.now(UTC) + timedelta(days=60)
CREATED = samples.created("b1", START, AT)
MOVED = samples.rescheduled("b1", soon(60), START, later(1))


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(notify_default="log:")


def prune_months_later(harness: Harness) -> list[str]:
    """Prune, and return the kinds of the notifications that are left."""
    prune(harness.services.database, MONTHS_LATER, KEEP)
    return harness.notification_kinds()


def map_user(harness: Harness, meetergo_user_id: str | None) -> None:
    with harness.services.database.transaction() as session:
        session.execute(update(PlatformUser).values(meetergo_user_id=meetergo_user_id))
    link_new_users(harness.services, datetime.now(UTC))
    harness.send_all()


@pytest.mark.parametrize("way", [["another-host"], [None, samples.HOST_ID]], ids=["replaced", "removed and restored"])
def test_a_host_whose_mapping_changes_months_later_is_not_told_of_a_booking_again(
    harness: Harness, way: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list[str]()
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: sent.append(message.id))
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["log:"])
    link_new_users(harness.services, datetime.now(UTC))
    harness.process(CREATED)
    harness.send_all()
    prune_months_later(harness)
    for meetergo_user_id in way:
        map_user(harness, meetergo_user_id)
    assert len(sent) == 1


def test_a_dead_notification_that_is_replayed_months_later_is_not_sent_after_a_newer_one(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.process(CREATED)
    with monkeypatch.context() as broken:
        broken.setattr(LogChannel, "send", lambda *_: 1 / 0)
        while harness.all(Notification)[0].status == "pending":
            harness.send_all()
            with harness.services.database.transaction() as session:
                session.execute(update(Notification).values(due_at=Notification.created_at))
    harness.process(MOVED, samples.cancelled("b1", soon(60), later(2)))
    harness.send_all()
    prune_months_later(harness)
    [dead] = [row for row in harness.all(Notification) if row.status == "dead"]
    ReplayService(harness.services, "somebody").replay_notifications([dead.id], datetime.now(UTC))
    harness.send_all()
    assert {row.last_error for row in harness.all(Notification) if row.id == dead.id} == {SUPERSEDED}


def test_notifications_of_a_meeting_that_is_over_or_cancelled_are_pruned(harness: Harness) -> None:
    harness.process(CREATED, samples.cancelled("b1", START, later(1)))
    harness.process(samples.created("b2", START, AT), samples.created("b3", datetime.now(UTC), AT))
    timeless = samples.created("b4", START, AT)
    del timeless["start"], timeless["end"]
    harness.process(timeless)
    harness.send_all()
    assert prune_months_later(harness) == ["created", "created"]
    assert [row.booking_id for row in harness.all(Notification)] == ["b2", "b4"], "b4 may still be to come"
