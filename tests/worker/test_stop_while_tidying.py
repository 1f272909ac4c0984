"""A worker that is asked to stop at the worst moment does not go on to wait for jobs."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from redis import Redis
from rq.worker.base import BaseWorker

from runtime.queue import connect
from worker import pool, stopping
from worker.pool import QueueWorker


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pool, "stopping", stopping.Stopping())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(30)
def test_a_signal_that_rq_swallowed_while_it_tidied_up_ends_the_worker(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among others `StartedJobRegistry.cleanup` catches every exception, and a signal's handler raises one."""

    def interrupted(worker: BaseWorker) -> None:
        worker.last_cleaned_at = datetime.now(UTC)
        with suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(BaseWorker, "run_maintenance_tasks", interrupted)
    with connect(redis_url) as connection:
        worker: QueueWorker = pool._build_rq_worker(connection, "inbox")
        began = time.monotonic()
        assert worker.work(logging_level="WARNING") is False
        assert time.monotonic() - began < 10  # else it waited for a job until the time of this test was up
        assert worker.stop_requested
