"""RQ's failed-job registry: it should hold exactly the retry jobs of our dead rows."""

import re
from collections.abc import Iterator, Sequence

from rq.job import Job, JobStatus

from runtime.queue import JobQueue, QueueName

KEY_PATTERNS: dict[QueueName, str] = {"inbox": "([0-9a-f]{64})", "outbox": "([0-9]{1,18})"}
PENDING_STATUSES = (JobStatus.QUEUED.value, JobStatus.STARTED.value, JobStatus.SCHEDULED.value)
"""Statuses of a job that was requeued. It returns to the registry by itself if it fails again."""


class FailedJobs:
    """The failed jobs of one queue.

    Args:
        job_queue: gives access to Redis.
        queue_name: the queue.
    """

    def __init__(self, job_queue: JobQueue, queue_name: QueueName) -> None:
        self._queue, self._job_id, self._queue_name = job_queue.queue(queue_name), job_queue.job_id, queue_name
        self._row_job_id = re.compile(re.escape(job_queue.job_id(queue_name, "")) + KEY_PATTERNS[queue_name])

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Return those keys of dead rows whose job is neither in the registry nor about to run.

        Raises:
            RedisError: Redis is down.
        """
        registry = self._queue.failed_job_registry
        with registry.connection.pipeline(transaction=False) as pipeline:
            for name in (self._job_id(self._queue_name, key) for key in keys):
                pipeline.zscore(registry.key, name)
                pipeline.hget(Job.key_for(name), "status")
            replies = pipeline.execute()
        seen = zip(keys, replies[::2], replies[1::2], strict=True)
        return [key for key, score, status in seen if not _is_present(score is not None, status)]

    def pages(self, size: int) -> Iterator[list[str]]:
        """Yield the keys of our rows in the registry, page by page. Nothing may be removed while iterating.

        Raises:
            RedisError: Redis is down.
        """
        start = 0
        while names := self._queue.failed_job_registry.get_job_ids(start, start + size - 1):
            yield [found[1] for name in names if (found := self._row_job_id.fullmatch(name))]
            start += size


def _is_present(is_here: bool, status: bytes | None) -> bool:
    """Whether the job is present. An entry without its job cannot be requeued, so it counts as missing."""
    return status is not None and (is_here or status.decode() in PENDING_STATUSES)
