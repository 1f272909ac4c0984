"""A body of another installation is not stored: it would become a booking of the wrong platform."""

from collections.abc import Callable

import pytest

from models.delivery import Delivery, NewDelivery
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue, connect, pack
from tests.worker.desk import AT, Desk
from tests.worker.test_refused_jobs import failed, reason, work

OTHERS = ["sqlite:////elsewhere/inbox.db", "postgresql://inbox@db/staging"]


def letter() -> NewDelivery:
    return NewDelivery.of(b'{"webhookType":"form_submission"}', "default", AT, BodyCipher([]))


@pytest.mark.parametrize("url", OTHERS)
def test_a_body_for_another_database_fails_visibly_though_the_prefix_is_the_same(
    open_desk: Callable[..., Desk], url: str
) -> None:
    open_desk(database_url=url).office.bell.carry(letter())
    desk = open_desk()
    work(desk.office.bell)
    assert desk.all(Delivery) == []
    [name] = failed(desk.office.bell)
    assert "accepted for another database" in reason(desk.office.bell, name)


def test_a_body_of_another_prefix_fails_visibly(desk: Desk, redis_url: str) -> None:
    other = JobQueue(connect(redis_url, "meetergo-inbox", "other/0123456789"))
    other.carry(letter())
    work(desk.office.bell)
    assert desk.all(Delivery) == []
    assert len(failed(desk.office.bell)) == 1


def test_a_body_that_says_nothing_of_where_it_belongs_fails_visibly(desk: Desk) -> None:
    queue = desk.office.bell.queue("inbox")
    queue.enqueue("worker.jobs.carry", args=pack(letter()), description="of an older version")
    work(desk.office.bell)
    assert desk.all(Delivery) == []
    assert len(failed(desk.office.bell)) == 1


def test_a_body_of_ours_is_stored(desk: Desk) -> None:
    desk.office.bell.carry(letter())
    work(desk.office.bell)
    assert [row.id for row in desk.all(Delivery)] == [letter().id]
    assert failed(desk.office.bell) == []
