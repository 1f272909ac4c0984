"""arq: its workers are asynchronous, so jobs run in threads."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.worker.processing import process_one

REDIS = RedisSettings.from_dsn(os.environ["REDIS_URL"])


async def job(_context: Any, delivery_id: str) -> None:
    """Run in a thread."""
    await asyncio.to_thread(process_one, delivery_id)


class WorkerSettings:
    """Settings as in arq's documentation, but it polls more often than every half second, or it would mostly wait."""

    functions = (job,)
    redis_settings = REDIS
    max_jobs = int(os.environ.get("CONCURRENCY", "4"))
    poll_delay = float(os.environ.get("POLL_DELAY", "0.01"))
    keep_result = 0
    log_results = False


async def enqueue(ids: Sequence[str]) -> None:
    """Enqueue one job per delivery."""
    pool = await create_pool(REDIS)
    for delivery_id in ids:
        await pool.enqueue_job("job", delivery_id)
    await pool.aclose()
