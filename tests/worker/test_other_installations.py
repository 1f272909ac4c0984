"""A body of another installation is not stored: it would become a booking of the wrong platform."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.delivery import Delivery, NewDelivery, pack
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.redis.client import connect, origin_of
from tests.worker.harness import AT, Harness
from tests.worker.test_refused_jobs import failed, reason, work

OTHERS = ["sqlite:///{}/elsewhere.db", "postgresql://inbox@db/staging"]


def new_delivery() -> NewDelivery:
    return NewDelivery.from_body(b'{"webhookType":"form_submission"}', "default", AT, BodyCipher([]))


@pytest.mark.parametrize("url", OTHERS)
def test_a_body_for_another_database_fails_visibly_though_the_prefix_is_the_same(
    open_harness: Callable[..., Harness], url: str, tmp_path: Path
) -> None:
    open_harness(database_url=url.format(tmp_path)).services.job_queue.enqueue_store(pack(new_delivery()))
    harness = open_harness()
    work(harness.services.job_queue)
    assert harness.all(Delivery) == []
    [name] = failed(harness.services.job_queue)
    assert "accepted for another database" in reason(harness.services.job_queue, name)


def test_a_body_of_another_prefix_fails_visibly(harness: Harness, redis_url: str) -> None:
    other = JobQueue(connect(redis_url, "meetergo-inbox", "other/0123456789"))
    other.enqueue_store(pack(new_delivery()))
    work(harness.services.job_queue)
    assert harness.all(Delivery) == []
    assert len(failed(harness.services.job_queue)) == 1


def test_a_body_that_says_nothing_of_where_it_belongs_fails_visibly(harness: Harness) -> None:
    queue = harness.services.job_queue.queue("inbox")
    queue.enqueue("worker.jobs.carry", args=pack(new_delivery()), description="of an older version")
    work(harness.services.job_queue)
    assert harness.all(Delivery) == []
    assert len(failed(harness.services.job_queue)) == 1


def test_a_body_of_ours_is_stored(harness: Harness) -> None:
    harness.services.job_queue.enqueue_store(pack(new_delivery()))
    work(harness.services.job_queue)
    assert [row.id for row in harness.all(Delivery)] == [new_delivery().id]
    assert failed(harness.services.job_queue) == []


def test_a_body_of_ours_is_stored_under_the_former_name_of_its_job(harness: Harness) -> None:
    job_queue = harness.services.job_queue
    arguments = (*pack(new_delivery()), origin_of(job_queue.redis))
    job_queue.queue("inbox").enqueue("worker.jobs.carry", args=arguments, description="of a version with prefixes")
    work(job_queue)
    assert [row.id for row in harness.all(Delivery)] == [new_delivery().id]
    assert failed(job_queue) == []
