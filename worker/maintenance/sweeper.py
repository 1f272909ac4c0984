"""Wake the workers for rows that are due, and complete what a lost trigger, Redis or worker left undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy import exists, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from models.account_cache import AccountsUnknown
from models.claim import MODEL_OF_QUEUE
from models.employee import Employee
from models.incident import Incident
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import MAX_CRASHES
from runtime.contention import in_transaction
from runtime.database import database_now
from runtime.errors import Permanent, describe
from runtime.redis.client import key_of
from worker.inbox.handlers import HandlerContext
from worker.maintenance.recovery import recover_stale_claims
from worker.services import Services

OVERDUE_AFTER = timedelta(seconds=10)
"""Age at which a due row is left to `sweep` instead of `wake`, which runs each second: a row that no worker can take
now, such as one to a destination that cools down, then costs few jobs."""
CRASH_WINDOW = timedelta(minutes=10)
"""A host whose linking ended the scheduler `MAX_CRASHES` times, each within this time of the last, is skipped."""

log = structlog.get_logger()


def wake(services: Services, now: datetime) -> None:
    """Trigger a drain for rows that have just become due, and enqueue RQ's jobs that waited for their time.

    Raises:
        SQLAlchemyError: the database is down.
    """
    with services.database.read_only() as session:
        since, until = database_now(session, now, -OVERDUE_AFTER), database_now(session, now)
        due = [
            queue
            for queue, rows in MODEL_OF_QUEUE.items()
            if session.scalar(select(exists().where(rows.became_due(since, until))))
        ]
    for queue in due:
        services.job_queue.trigger_drain(queue)
    for queue in MODEL_OF_QUEUE:
        services.job_queue.enqueue_scheduled(queue)


def sweep(services: Services, now: datetime) -> None:
    """Trigger drains for overdue rows, recover the work of killed workers, and link bookings to newly mapped users.

    Raises:
        Exception: the first error. A step that fails does not stop the others.
    """
    steps: tuple[Callable[[Services, datetime], object], ...] = (
        _trigger_overdue,
        _recover_jobs,
        lambda services, now: recover_stale_claims(services.database, services.job_queue, now),
        _clamp_due_at,
        end_superseded,
        link_new_users,
    )
    errors: list[Exception] = []
    for step in steps:
        with _collecting(errors):
            step(services, now)
    if errors:
        raise errors[0]


def _recover_jobs(services: Services, _now: datetime) -> None:
    for queue in MODEL_OF_QUEUE:
        services.job_queue.requeue_abandoned(queue)
    services.job_queue.prune_redis_only()


def _trigger_overdue(services: Services, now: datetime) -> None:
    for queue, rows in MODEL_OF_QUEUE.items():
        with services.database.read_only() as session:
            is_overdue = session.scalar(select(exists().where(rows.is_overdue(now, OVERDUE_AFTER))))
        if is_overdue:
            log.info("sweep.overdue", queue=queue)
            services.job_queue.force_drain(queue)


def _clamp_due_at(services: Services, now: datetime) -> None:
    """Correct due times that a wrong clock has written, so that no row waits for a day, and no new one for an hour."""
    for queue, rows in MODEL_OF_QUEUE.items():
        with services.database.transaction() as session:
            clamped = rows.correct_due_times(session, now)
        if clamped:
            log.warning("sweep.due_at_clamped", queue=queue, rows=clamped)


def end_superseded(services: Services, now: datetime) -> None:
    """End pending notifications that a newer pending one supersedes."""
    with services.database.read_only() as session:
        ids = Notification.superseded_ids(session, now)
    if ids:
        with services.database.transaction() as session:
            Notification.end_superseded(session, ids, now)
        log.info("notification.superseded", number=len(ids))


def link_new_users(services: Services, now: datetime) -> int:
    """Give waiting users their announced meetergo id, and assign the bookings that waited for them.

    Each user has a separate transaction: one that cannot be linked is logged and does not stop the others.

    Returns:
        The number of notifications created.

    Raises:
        Exception: the first error of a user who is tried again.
    """
    with services.database.read_only() as session:
        linkable = Employee.linkable_users(session)
    created, errors = 0, list[Exception]()
    for user_id, meetergo_user_id in linkable:
        with _collecting(errors):
            _assign_meetergo_id(services, user_id, meetergo_user_id)
    with services.database.read_only() as session:
        new = PlatformUser.newly_mapped(session)
    for user_id in new:
        with _collecting(errors):
            created += _link_bookings(services, user_id, now)
    if created:
        services.job_queue.trigger_drain("outbox")
    if errors:
        raise errors[0]
    return created


@contextmanager
def _collecting(errors: list[Exception]) -> Iterator[None]:
    """Collect an error, such as that of a locked row, so that what follows is done all the same."""
    try:
        yield
    except Exception as error:
        errors.append(error)


def _assign_meetergo_id(services: Services, user_id: int, meetergo_user_id: str) -> None:
    with suppress(IntegrityError), services.database.transaction() as session:  # another user may have the id by now
        user = session.get(PlatformUser, user_id, with_for_update={"skip_locked": True})  # a locked one is tried again
        if user and user.meetergo_user_id is None:
            user.meetergo_user_id = meetergo_user_id


def _link_bookings(services: Services, user_id: int, now: datetime) -> int:
    """Link the user's bookings. The lock lets other transactions write bookings that refer to the user.

    A user whom the platform has locked is left for the next sweep: others do not wait for it.
    """

    def link(session: Session) -> int:
        user = session.get(PlatformUser, user_id, with_for_update={"key_share": True, "skip_locked": True})
        if user is None:
            return 0
        created = services.recorder.record_each(session, HandlerContext(session, now).link_waiting_bookings(user), now)
        user.linked_as = user.mapping
        return created

    attempts = _count_attempt(services, user_id)
    try:
        if attempts > MAX_CRASHES:
            raise Permanent("linking ended the scheduler")
        created = in_transaction(services.database, link)
    except (OperationalError, AccountsUnknown):
        _forget_attempts(services, user_id)
        raise
    except Exception as error:
        log.error("link.skipped", platform_user_id=user_id, error=describe(error))
        with services.database.transaction() as session:
            Incident.record_event(session, "link_skipped", now)
        with suppress(DBAPIError), services.database.transaction() as session:  # nobody may update it: tried each time
            PlatformUser.skip_linking(session, user_id)
        created = 0
    _forget_attempts(services, user_id)
    return created


def _count_attempt(services: Services, user_id: int) -> int:
    """Count an attempt outside its transaction. Only one that ended this process leaves the count behind."""
    with suppress(RedisError), services.job_queue.redis.pipeline() as pipeline:
        key = _attempts_key(services, user_id)
        pipeline.incr(key)
        pipeline.expire(key, CRASH_WINDOW)
        return int(pipeline.execute()[0])
    return 0


def _forget_attempts(services: Services, user_id: int) -> None:
    with suppress(RedisError):
        services.job_queue.redis.delete(_attempts_key(services, user_id))


def _attempts_key(services: Services, user_id: int) -> str:
    return key_of(services.job_queue.redis, "linking", str(user_id))
