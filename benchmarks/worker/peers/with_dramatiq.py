"""Dramatiq on Redis."""

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.worker.processing import process_one

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
job = dramatiq.actor(process_one)


def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    for delivery_id in ids:
        job.send(delivery_id)
