"""The RQ jobs. They take strings as JSON arguments, and are idempotent."""

import re
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from rq import Retry, get_current_job
from sqlalchemy.exc import SQLAlchemyError

from models.delivery import Delivery, unpack
from runtime.errors import Failure
from runtime.outage import Outage
from runtime.queue import QUEUES, QueueName
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


class InvalidJob(FailedJob):
    """The job was not enqueued by this service: anything with access to Redis can enqueue anything."""


def drain(*args: object) -> None:
    """Process everything due in a queue. Clears the trigger first, so that later arrivals trigger again.

    After an error, the scheduler triggers again.

    Args:
        args: the queue.
    """
    (queue,) = _validated(args, _is_queue)
    _retry_on_error(queue, lambda: _drain(queue))


def retry_one(*args: object) -> Retry | None:
    """Replay a dead row, because its job in RQ's failed registry was requeued, and trigger a drain.

    Args:
        args: the queue, and the row's id.
    """
    queue, row_id = _validated(args, _is_queue, lambda row_id: ROW_ID_PATTERNS[args[0]].fullmatch(row_id))
    return _retry_on_error(queue, lambda: _retry_one(queue, row_id))


def store_deferred(*args: object) -> Retry | None:
    """Store a body that the receiver could not store, once the database is back.

    Args:
        args: the output of `models.delivery.pack`, and the installation that it came from.
    """
    packed = _validated(args, *[_accept_any] * len(args))  # validated where it is unpacked
    return _retry_on_error("inbox", lambda: _store_deferred(packed))


def _validated(args: Sequence[Any], *checks: Callable[[str], object]) -> Any:
    """Return a job's arguments after checking that this service could have enqueued them.

    Raises:
        InvalidJob: it could not.
    """
    if len(args) == len(checks) and all(isinstance(value, str) for value in args):
        with suppress(ValueError):
            if all(check(value) for check, value in zip(checks, args, strict=True)):
                return args
    _do_not_retry()
    raise InvalidJob("this service enqueues no job with such arguments: another program writes to this Redis")


def _is_queue(queue: str) -> bool:
    return queue in QUEUES


def _accept_any(_value: str) -> bool:
    return True


ROW_ID_PATTERNS: dict[Any, re.Pattern[str]] = {
    "inbox": re.compile(r"[0-9A-Za-z-]{1,64}"),
    "outbox": re.compile(r"[0-9]{1,18}"),
}


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


def _do_not_retry() -> None:
    """Prevent further runs by RQ: it may rerun a job whose worker died, but not one that ended."""
    job = get_current_job()
    if job:
        job.retries_left = 0


def _store_deferred(packed: tuple[str, ...]) -> None:
    """Store a body. Reject one from another installation: it would become a booking of the wrong platform."""
    delivery_parts, origin = packed[:5], packed[5:]
    if origin != (origin_of(services().job_queue.redis),):
        _do_not_retry()
        raise FailedJob(FROM_ANOTHER_DATABASE)
    try:
        new_delivery = unpack(*delivery_parts)
    except ValueError:
        _do_not_retry()
        raise FailedJob("this webhook cannot be read: it was not written by meetergo-inbox") from None
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


empty, tend, carry = drain, retry_one, store_deferred
"""Job names of the previous version: its jobs are still in Redis during an upgrade."""
