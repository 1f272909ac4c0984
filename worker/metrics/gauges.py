"""Prometheus gauges of the current state, served by the scheduler."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models.incident import KINDS
from models.stats import JobStats, RowStats, Stats, collect_stats
from runtime.http.metrics_server import add_build_info
from runtime.http.threaded_server import start_http_server
from runtime.redis import heartbeat
from runtime.redis.deferred_deliveries import RedisOnly
from worker.services import Services

PREFIX = "meetergo_inbox"
CACHE_TTL = timedelta(seconds=5)
"""Minimum time between two queries of the stores, however many scrapes arrive."""

ROW_GAUGES: dict[str, tuple[str, Callable[[RowStats, datetime], float]]] = {
    "rows_waiting": ("Rows that are pending.", lambda rows, now: rows.waiting),
    "rows_done": ("Rows that are done and not yet pruned.", lambda rows, now: rows.done),
    "rows_dead": ("Rows that need a person.", lambda rows, now: rows.dead),
    "oldest_waiting_age_seconds": (
        "Age of the oldest pending row; 0 if there is none.",
        lambda rows, now: (now - rows.oldest_waiting).total_seconds() if rows.oldest_waiting else 0,
    ),
}
JOB_STATES: dict[str, Callable[[JobStats], int]] = {
    "queued": lambda jobs: jobs.queued,
    "scheduled": lambda jobs: jobs.scheduled,
    "failed": lambda jobs: jobs.failed,
}


class StatsCollector(Collector):
    """Queries the stores on each scrape. Gauges of a store that is down are left out."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = Lock()
        self._cached: tuple[float, Stats] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all gauges."""
        stats = self._stats()
        up = {("database",): int(stats.rows is not None), ("redis",): int(stats.is_redis_usable)}
        yield _family("store_up", "1 if a store answers the scheduler, and Redis can be written.", ["store"], up)
        if stats.rows is not None:
            for name, (text, value) in ROW_GAUGES.items():
                yield _family(
                    name, text, ["box"], {(queue,): value(rows, stats.at) for queue, rows in stats.rows.items()}
                )
            yield _family(
                "database_writable", "1 if the database can be written.", [], {(): int(not stats.write_error)}
            )
            failing = {(): stats.failing.rows}
            yield _family("deliveries_failing_again", "Deliveries that fail repeatedly.", [], failing)
            is_open = {(kind,): int(kind in stats.incidents) for kind in KINDS}
            yield _family("incident_open", "1 while this incident needs a person.", ["kind"], is_open)
        if stats.jobs is not None:
            jobs = {
                (queue, state): count(job_stats)
                for queue, job_stats in stats.jobs.items()
                for state, count in JOB_STATES.items()
            }
            yield _family("queue_jobs", "Jobs in RQ.", ["box", "state"], jobs)
            deferred = stats.redis_only or RedisOnly()
            age = (stats.at - deferred.oldest).total_seconds() if deferred.oldest else 0
            yield _family("redis_only", "Webhooks that are in Redis only.", [], {(): deferred.count})
            yield _family("redis_only_oldest_age_seconds", "Age of the oldest one; 0 if there is none.", [], {(): age})
            deaths = {(queue,): number for queue, number in stats.deaths.items()}
            yield _family("worker_deaths", "Workers that died in the last 10 minutes.", ["box"], deaths)
            workers = {(queue,): job_stats.workers for queue, job_stats in stats.jobs.items()}
            yield _family("workers", "Live worker processes, on all machines.", ["box"], workers)
            runs = {(task,): moment.timestamp() for task, moment in stats.next_runs.items()}
            yield _family("schedule_next_run_timestamp_seconds", "When a task runs next.", ["task"], runs)

    def _stats(self) -> Stats:
        with self._lock:
            if self._cached is None or time.monotonic() - self._cached[0] > CACHE_TTL.total_seconds():
                stats = collect_stats(self._services.database, self._services.job_queue, datetime.now(UTC))
                self._cached = time.monotonic(), stats
            return self._cached[1]


def serve_stats(services: Services, host: str, port: int) -> None:
    """Serve the gauges and the scheduler's health from threads of this process."""
    registry = CollectorRegistry()
    registry.register(StatsCollector(services))
    add_build_info(registry, "cron")
    redis = services.job_queue.redis
    start_http_server(host, port, registry, lambda: heartbeat.scheduler_alive(redis))


def _family(name: str, text: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
