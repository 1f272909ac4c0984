"""The RQ jobs. They take strings as JSON arguments, which `OwnJob` has checked, and are idempotent."""

import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import structlog
from rq import Retry, get_current_job
from sqlalchemy.exc import SQLAlchemyError

from models.delivery import Delivery, unpack
from runtime.errors import Failure
from runtime.outage import Outage
from runtime.queue import QueueName
from runtime.redis.client import origin_of
from worker.drain_result import DrainResult
from worker.maintenance.failed_jobs import replay_requeued
from worker.services import services

MAX_DRAIN_TIME = timedelta(seconds=3)
"""A drain that takes longer triggers another and ends, so that a worker asked to stop does so soon."""
RECHECK_DELAY: dict[QueueName, timedelta] = {"inbox": timedelta(milliseconds=50), "outbox": timedelta(milliseconds=100)}
"""A drain that found work checks once more after this delay: under load that costs far less than a job per trigger."""
RETRY_SOON = Retry(max=100_000, interval=5)

FROM_ANOTHER_DATABASE = (
    "this webhook was accepted for another database, so it was not stored in this one;"
    " if it belongs here: bin/inbox adopt-queue"
)

log = structlog.get_logger()
_database_outage = Outage("database.unavailable")


class FailedJob(Failure):
    """Raising this puts the job into RQ's failed registry, where an operator sees why."""


def drain(queue: QueueName) -> None:
    """Process everything due in a queue. Clears the trigger first, so that later arrivals trigger again.

    After an error, the scheduler triggers again.
    """
    _retry_on_error(queue, lambda: _drain(queue))


def retry_one(queue: QueueName, row_id: str) -> Retry | None:
    """Replay a dead row, because its job in RQ's failed registry was requeued, and trigger a drain."""
    return _retry_on_error(queue, lambda: _retry_one(queue, row_id))


def store_deferred(*packed: str) -> Retry | None:
    """Store a body that the receiver could not store, once the database is back.

    Args:
        packed: the output of `models.delivery.pack`, and the installation that it came from.
    """
    return _retry_on_error("inbox", lambda: _store_deferred(packed))


def _retry_on_error(queue: QueueName, work: Callable[[], None]) -> Retry | None:
    """Retry later on any error. Only a `FailedJob` fails, with a message that is safe to log."""
    try:
        work()
    except FailedJob:
        raise
    except SQLAlchemyError as error:
        _database_outage.record_failure(error, queue=queue)
    except Exception as error:
        frames = traceback.format_tb(error.__traceback__)
        log.error("job.failed", queue=queue, error=type(error).__name__, traceback="".join(frames))
    else:
        if _database_outage.is_on:
            _database_outage.record_recovery()
        return None
    return RETRY_SOON


def _drain(queue: QueueName) -> None:
    job_queue, processor = services().job_queue, services().processor(queue)
    deadline = time.monotonic() + MAX_DRAIN_TIME.total_seconds()
    job_queue.drain_started(queue)
    while result := processor.process_due():
        if time.monotonic() > deadline:
            job_queue.trigger_drain(queue)  # what was just sent may make later messages of the same booking due
            break
        if result is DrainResult.DRAINED:
            time.sleep(RECHECK_DELAY[queue].total_seconds())


def _retry_one(queue: QueueName, row_id: str) -> None:
    replay_requeued(services(), queue, row_id, datetime.now(UTC))
    services().job_queue.trigger_drain(queue)


def _store_deferred(packed: tuple[str, ...]) -> None:
    """Store a body. Reject one from another installation: it would become a booking of the wrong platform."""
    delivery_parts, origin = packed[:5], packed[5:]
    if origin != (origin_of(services().job_queue.redis),):
        _fail_for_good(FROM_ANOTHER_DATABASE)
    try:
        new_delivery = unpack(*delivery_parts)
    except ValueError:
        _fail_for_good("this webhook cannot be read: it was not written by meetergo-inbox")
    job, job_queue = get_current_job(), services().job_queue
    try:
        with services().database.transaction() as session:
            Delivery.accept(session, [new_delivery])
    except SQLAlchemyError:
        if job:
            job_queue.add_redis_only(job.id, new_delivery.received_at)
        raise
    if job:
        job_queue.remove_redis_only(job.id)
    job_queue.trigger_drain("inbox")


def _fail_for_good(reason: str) -> NoReturn:
    """Fail the job. RQ may rerun one whose worker died, but not one that ended.

    Raises:
        FailedJob: always. An error that is being handled may quote the job's arguments, so it is not chained.
    """
    if job := get_current_job():
        job.retries_left = 0
    raise FailedJob(reason) from None


empty, tend, carry = drain, retry_one, store_deferred
"""Job names of the previous version: its jobs are still in Redis during an upgrade."""
