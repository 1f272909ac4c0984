"""RQ with defaults: `python -m benchmarks.worker.peers.with_rq fork|simple`, with the application preloaded."""

import os
import sys
from collections.abc import Sequence

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from benchmarks.worker.processing import process_one

WORKERS = {"fork": Worker, "simple": SimpleWorker}


def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    queue = _queue()
    queue.enqueue_many([Queue.prepare_data(process_one, (delivery_id,)) for delivery_id in ids])


def _queue() -> Queue:
    return Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


if __name__ == "__main__":
    queue = _queue()
    WORKERS[sys.argv[1]]([queue], connection=queue.connection).work(logging_level="WARNING")
