"""Celery on Redis."""

import os
from collections.abc import Sequence

from celery import Celery

from benchmarks.worker.processing import process_one

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
job = app.task(name="process_one")(process_one)


def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    for delivery_id in ids:
        job.delay(delivery_id)
