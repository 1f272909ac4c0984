"""Former names go on working: Procfiles, jobs in Redis and platform hooks of the previous release use them."""

import worker.schedule
import worker.scheduler
from models import failures
from models.booking import BookingChange
from runtime import errors
from worker import jobs


def test_a_procfile_may_start_the_scheduler_by_its_former_name() -> None:
    assert worker.schedule.main is worker.scheduler.main


def test_jobs_in_redis_may_have_their_former_names() -> None:
    assert (jobs.empty, jobs.tend, jobs.carry) == (jobs.drain, jobs.retry_one, jobs.store_deferred)


def test_a_hook_may_use_the_former_names() -> None:
    assert (failures.Permanent, failures.Transient) == (errors.Permanent, errors.Transient)
    assert BookingChange(notification_kinds=["created"]).news == ["created"]
