"""taskiq on a Redis list: it runs synchronous tasks in threads."""

import os
from collections.abc import Sequence

from taskiq_redis import ListQueueBroker

from benchmarks.worker.processing import process_one

broker = ListQueueBroker(os.environ["REDIS_URL"])
job = broker.task(task_name="process_one")(process_one)


async def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    await broker.startup()
    for delivery_id in ids:
        await job.kiq(delivery_id)
    await broker.shutdown()
