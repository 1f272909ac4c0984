"""Jobs: what RQ calls, by name. They take ids, do JSON, and are idempotent."""

import math
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

from models.delivery import Delivery
from runtime.errors import Failure
from runtime.queue import QUEUES, QueueName, unpack
from runtime.redis.client import origin_of
from worker.progress import DrainResult
from worker.services import services

LONGEST_SHIFT = timedelta(seconds=3)
"""A job that goes on longer rings and ends, so that a worker that is asked to stop does so soon."""
RESTS: dict[QueueName, timedelta] = {"inbox": timedelta(milliseconds=50), "outbox": timedelta(milliseconds=100)}
"""Whoever found something looks once more after it: while much comes, that costs far less than a job for each ring."""
LATER = Retry(max=100_000, interval=5)
FOR_EVER = 1_000_000_000
"""The row counts its tries, so RQ must not."""

FOREIGN = (
    "this webhook was accepted for another database, so it was not stored in this one;"
    " if it belongs here: python -m console adopt-queue"
)

log = structlog.get_logger()


class Dead(Failure):
    """A row will not be tried again; this puts its job into RQ's failed registry, where it can be requeued."""


class Invalid(Dead):
    """A job that is none of ours: whoever can write to Redis can enqueue anything."""


def empty(*given: object) -> Retry | None:
    """Works off all that is due in a box. Takes the bell down first: what comes after that rings again.

    Args:
        given: the box.
    """
    (box,) = _checked(given, _is_box)
    return _or_later(box, lambda: _empty(box))


def tend(*given: object) -> Retry | None:
    """Tries one row that failed, when its time has come, until it is done or dead.

    Args:
        given: the box, and the id of the row.
    """
    box, key = _checked(given, _is_box, lambda key: KEYS[given[0]].fullmatch(key))
    return _or_later(box, lambda: _tend(box, key))


def carry(*given: object) -> Retry | None:
    """Stores a body that the receiver could not store, once the database is back.

    Args:
        given: what `runtime.queue.pack` made of it.
    """
    packed = _checked(given, *[_is_anything] * len(given))  # it is looked at where it is unpacked
    return _or_later("inbox", lambda: _carry(packed))


def _checked(given: Sequence[Any], *checks: Callable[[str], object]) -> Any:
    """The arguments of a job, if they are such as we give.

    Raises:
        Invalid: they are not.
    """
    if len(given) == len(checks) and all(isinstance(value, str) for value in given):
        with suppress(ValueError):
            if all(check(value) for check, value in zip(checks, given, strict=True)):
                return given
    _do_not_retry()
    raise Invalid("the arguments of this job are not such as this service gives: it was enqueued by something else")


def _is_box(box: str) -> bool:
    return box in QUEUES


def _is_anything(_value: str) -> bool:
    return True


KEYS: dict[Any, re.Pattern[str]] = {"inbox": re.compile(r"[0-9A-Za-z-]{1,64}"), "outbox": re.compile(r"[0-9]{1,9}")}


def _or_later(box: QueueName, work: Callable[[], Retry | None]) -> Retry | None:
    """What cannot be done now is done later. Only a dead row fails its job, and says no more than we may log."""
    try:
        return work()
    except Dead:
        raise
    except SQLAlchemyError as error:
        log.error("database.away", box=box, error=type(error).__name__)
    except Exception as error:
        where = traceback.format_tb(error.__traceback__)
        log.error("job.failed", box=box, error=type(error).__name__, traceback="".join(where))
    return LATER


def _empty(box: QueueName) -> None:
    bell, desk = services().bell, services().desk(box)
    stop = time.monotonic() + LONGEST_SHIFT.total_seconds()
    bell.answer(box)
    while found := desk.work_off():
        if time.monotonic() > stop:
            if found is DrainResult.PART:
                bell.ring(box)
            break
        if found is DrainResult.ALL:
            time.sleep(RESTS[box].total_seconds())


def _tend(box: QueueName, key: str) -> Retry | None:
    """Healthy rows first: a job for each of many failing ones may be before the one that works off the others."""
    if box == "inbox":
        services().inbox.work_off()
    row = services().desk(box).retry(key)
    if row is None or row.status == "done":
        return None
    if row.status == "dead":
        _do_not_retry()
        raise Dead(row.last_words)
    wait = (row.due_at - datetime.now(UTC)).total_seconds()
    return Retry(max=FOR_EVER, interval=max(1, math.ceil(wait)))


def _do_not_retry() -> None:
    """RQ may run a job again whose worker died; not one that has come to its end."""
    job = get_current_job()
    if job:
        job.retries_left = 0


def _carry(packed: tuple[str, ...]) -> None:
    """A body of another installation on this Redis is not stored: it would become a booking of the wrong platform."""
    letter_parts, came_from = packed[:5], packed[5:]
    if came_from != (origin_of(services().bell.redis),):
        _do_not_retry()
        raise Dead(FOREIGN)
    try:
        letter = unpack(*letter_parts)
    except ValueError:
        _do_not_retry()
        raise Dead("this webhook cannot be read: it was not written by meetergo-inbox") from None
    job, bell = get_current_job(), services().bell
    try:
        with services().database.transaction() as session:
            Delivery.accept(session, [letter])
    except SQLAlchemyError:
        if job:
            bell.note_redis_only(job.id, letter.received_at)
        raise
    if job:
        bell.note_stored(job.id)
    bell.ring("inbox")
