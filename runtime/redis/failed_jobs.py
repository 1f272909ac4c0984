"""RQ's failed-job registry, which mirrors our dead rows, so that RQ's own tools show and replay them."""

import re
from collections.abc import Iterator, Sequence

from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure

from runtime.queue import JOB_TIMEOUT, RETRY_IF_ABANDONED, JobQueue, QueueName
from runtime.redis.allowed_jobs import RETRY_ONE, ROW_IDS, OwnJob

PENDING_STATUSES = (JobStatus.QUEUED.value, JobStatus.STARTED.value, JobStatus.SCHEDULED.value)
"""Statuses of a job that was requeued, and will replay its row."""


class FailedJobs:
    """The failed jobs of one queue.

    Args:
        job_queue: gives access to Redis.
        queue_name: the queue.
    """

    def __init__(self, job_queue: JobQueue, queue_name: QueueName) -> None:
        self._queue, self._job_id, self._queue_name = job_queue.queue(queue_name), job_queue.job_id, queue_name
        self._row_job_id = re.compile(f"{re.escape(job_queue.job_id(queue_name, ''))}({ROW_IDS[queue_name]})".encode())

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
        registry, start = self._queue.failed_job_registry, 0
        registry.cleanup()
        while names := registry.connection.zrange(registry.key, start, start + size - 1):  # those of others: any bytes
            yield [found[1].decode() for name in names if (found := self._row_job_id.fullmatch(name))]
            start += size

    def add(self, key: str, reason: str) -> None:
        """Add the job that replays a dead row.

        Args:
            key: the row's id.
            reason: why the row is dead, safe to show.

        Raises:
            RedisError: Redis is down.
        """
        job = self._queue.create_job(
            RETRY_ONE,
            args=(self._queue_name, key),
            job_id=self._job_id(self._queue_name, key),
            description=f"{self._queue_name} {key}",
            timeout=int(JOB_TIMEOUT.total_seconds()),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
        )
        with self._queue.connection.pipeline() as pipeline:
            record_job_failure(job, reason, pipeline)
            pipeline.execute()

    def remove(self, keys: Sequence[str]) -> None:
        """Remove the jobs of rows that are not dead any more.

        Raises:
            RedisError: Redis is down.
        """
        ids = [self._job_id(self._queue_name, key) for key in keys]
        for job_id, job in zip(
            ids, OwnJob.fetch_many(ids, self._queue.connection, self._queue.serializer), strict=True
        ):
            if job:
                job.delete()
            self._queue.failed_job_registry.remove(job_id)


def _is_present(is_registered: bool, status: bytes | None) -> bool:
    """Whether the job is present. An entry without its job cannot be requeued, so it counts as missing."""
    return status is not None and (is_registered or status.decode() in PENDING_STATUSES)
