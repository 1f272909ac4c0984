"""Procrastinate: jobs are rows of the same PostgreSQL; synchronous tasks run in threads."""

import os
from collections.abc import Sequence

from procrastinate import App, PsycopgConnector

from benchmarks.running import plain
from benchmarks.worker.processing import process_one

app = App(connector=PsycopgConnector(conninfo=plain(os.environ["DATABASE_URL"])))
job = app.task(name="process_one")(process_one)


async def enqueue(ids: Sequence[str]) -> None:
    """Make its tables, and enqueue one job per delivery."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await job.batch_defer_async(*({"delivery_id": delivery_id} for delivery_id in ids))
