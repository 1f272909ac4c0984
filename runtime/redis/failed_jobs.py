"""RQ's failed registry, seen as ours: it is to hold the own jobs of our dead rows, and no others of our rows."""

import re
from collections.abc import Iterator, Sequence

from rq.job import Job, JobStatus

from runtime.queue import JobQueue, QueueName

KEYS: dict[QueueName, str] = {"inbox": "([0-9a-f]{64})", "outbox": "([0-9]{1,18})"}
TO_BE_TRIED = (JobStatus.QUEUED.value, JobStatus.STARTED.value, JobStatus.SCHEDULED.value)
"""Somebody requeued it: it comes back by itself if it fails again."""


class FailedJobs:
    """The failed jobs of one box.

    Args:
        bell: the way to Redis.
        box: which.
    """

    def __init__(self, bell: JobQueue, box: QueueName) -> None:
        self._queue, self._job_id, self._box = bell.queue(box), bell.job_id, box
        self._ours = re.compile(re.escape(bell.job_id(box, "")) + KEYS[box])

    def lacks(self, keys: Sequence[str]) -> list[str]:
        """Of the keys of dead rows, those whose job is not here, nor on its way to be tried.

        Raises:
            RedisError: Redis is away.
        """
        registry = self._queue.failed_job_registry
        with registry.connection.pipeline(transaction=False) as pipeline:
            for name in (self._job_id(self._box, key) for key in keys):
                pipeline.zscore(registry.key, name)
                pipeline.hget(Job.key_for(name), "status")
            answers = pipeline.execute()
        seen = zip(keys, answers[::2], answers[1::2], strict=True)
        return [key for key, score, status in seen if not _is_known(score is not None, status)]

    def pages(self, size: int) -> Iterator[list[str]]:
        """The keys of our rows whose jobs are here, page by page; nothing may be taken away meanwhile.

        Raises:
            RedisError: Redis is away.
        """
        start = 0
        while names := self._queue.failed_job_registry.get_job_ids(start, start + size - 1):
            yield [found[1] for name in names if (found := self._ours.fullmatch(name))]
            start += size


def _is_known(is_here: bool, status: bytes | None) -> bool:
    """A job that is here by its name alone cannot be requeued: it is filed anew."""
    return status is not None and (is_here or status.decode() in TO_BE_TRIED)
