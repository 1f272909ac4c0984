"""SAQ: its workers are asynchronous, so jobs run in threads."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from saq import Queue

from benchmarks.worker.processing import process_one

queue = Queue.from_url(os.environ["REDIS_URL"])


async def job(_context: Any, *, delivery_id: str) -> None:
    """Run in a thread."""
    await asyncio.to_thread(process_one, delivery_id)


settings = {"queue": queue, "functions": [("job", job)], "concurrency": int(os.environ.get("CONCURRENCY", "4"))}


async def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    for delivery_id in ids:
        await queue.enqueue("job", delivery_id=delivery_id)
    await queue.disconnect()
