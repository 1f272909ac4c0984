"""Huey on Redis."""

import os
from collections.abc import Sequence

from huey import RedisHuey

from benchmarks.worker.processing import process_one

huey = RedisHuey("bench", url=os.environ["REDIS_URL"], results=False)
job = huey.task()(process_one)


def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    for delivery_id in ids:
        job(delivery_id)
