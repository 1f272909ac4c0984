"""The gauges: how everything is just now, as Prometheus reads it. The schedule shows them."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models.incident import KINDS
from models.stats import JobStats, RowStats, Stats, collect_stats
from runtime.metrics_server import add_build_info
from runtime.redis.deferred_deliveries import RedisOnly
from worker.services import Services

PREFIX = "meetergo_inbox"
FRESH_FOR = timedelta(seconds=5)
"""However many ask, the stores are counted through no more often than this."""

ROWS: dict[str, tuple[str, Callable[[RowStats, datetime], float]]] = {
    "rows_waiting": ("RowStats to be done, or to be tried again.", lambda rows, now: rows.waiting),
    "rows_done": ("RowStats that are done, and not pruned yet.", lambda rows, now: rows.done),
    "rows_dead": ("RowStats that need a person.", lambda rows, now: rows.dead),
    "oldest_waiting_age_seconds": (
        "Age of the oldest row that waits; 0 if none does.",
        lambda rows, now: (now - rows.oldest_waiting).total_seconds() if rows.oldest_waiting else 0,
    ),
}
JOBS: dict[str, Callable[[JobStats], int]] = {
    "queued": lambda jobs: jobs.queued,
    "scheduled": lambda jobs: jobs.scheduled,
    "failed": lambda jobs: jobs.failed,
}


class StatsCollector(Collector):
    """Asks the stores when Prometheus asks us. What a store that is away would say is left out."""

    def __init__(self, office: Services) -> None:
        self._office = office
        self._lock = Lock()
        self._seen: tuple[float, Stats] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them."""
        seen = self._look()
        yield from _stores(seen)
        if seen.rows is not None:
            for name, (text, value) in ROWS.items():
                yield _family(name, text, ["box"], {(box,): value(rows, seen.at) for box, rows in seen.rows.items()})
            yield _family("database_writable", "1 if the database can be written.", [], {(): int(not seen.write_fault)})
            failing = {(): seen.failing.rows}
            yield _family("deliveries_failing_again", "Deliveries that fail again and again.", [], failing)
            is_open = {(kind,): int(kind in seen.incidents) for kind in KINDS}
            yield _family("incident_open", "1 while a person has to look at this.", ["kind"], is_open)
        if seen.jobs is not None:
            jobs = {(box, state): count(of) for box, of in seen.jobs.items() for state, count in JOBS.items()}
            yield _family("queue_jobs", "JobStats that RQ has.", ["box", "state"], jobs)
            held = seen.redis_only or RedisOnly()
            age = (seen.at - held.oldest).total_seconds() if held.oldest else 0
            yield _family("redis_only", "Webhooks that are in Redis only.", [], {(): held.count})
            yield _family("redis_only_oldest_age_seconds", "Age of the oldest of them; 0 if none.", [], {(): age})
            deaths = {(box,): number for box, number in seen.deaths.items()}
            yield _family("worker_deaths", "Workers that died in the last 10 minutes.", ["box"], deaths)
            workers = {(box,): of.workers for box, of in seen.jobs.items()}
            yield _family("workers", "Worker processes that live, on all machines.", ["box"], workers)
            runs = {(task,): moment.timestamp() for task, moment in seen.next_runs.items()}
            yield _family("schedule_next_run_timestamp_seconds", "When a task runs next.", ["task"], runs)

    def _look(self) -> Stats:
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH_FOR.total_seconds():
                seen = collect_stats(self._office.database, self._office.bell, datetime.now(UTC))
                self._seen = time.monotonic(), seen
            return self._seen[1]


def show(office: Services, host: str, port: int) -> None:
    """Serves them from threads of this process."""
    registry = CollectorRegistry()
    registry.register(StatsCollector(office))
    add_build_info(registry, "cron")
    start_http_server(port, host, registry)


def _stores(seen: Stats) -> Iterator[GaugeMetricFamily]:
    up = {("database",): int(seen.rows is not None), ("redis",): int(seen.jobs is not None)}
    yield _family("store_up", "1 if a store answers the schedule.", ["store"], up)


def _family(name: str, text: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
