"""`python -m worker.scheduler`: what runs by the clock. One of it is enough; two do no harm."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Thread

import structlog

from models.retention import prune
from runtime import logs
from runtime.database import Database
from runtime.metrics_server import port_of
from runtime.process.stop_signal import StopEvent
from runtime.redis import heartbeat
from worker.maintenance.alerts import alerts
from worker.maintenance.failed_jobs import sync_failed_jobs
from worker.maintenance.sweeper import sweep
from worker.reconcile.runner import reconcile_on_schedule
from worker.services import Services, build_services
from worker.settings import ScheduleSettings
from worker.start import exit_on_bad_setting

Task = Callable[[Services, datetime], object]

Schedule = dict[str, tuple[timedelta, Task]]

SCHEDULE: Schedule = {
    "sweep": (timedelta(seconds=15), sweep),
    "filing": (timedelta(minutes=1), sync_failed_jobs),
    "prune": (timedelta(days=1), lambda services, now: prune(services.database, now, services.retention)),
    "alerts": (timedelta(seconds=15), lambda services, now: alerts().check(services, now)),
}

RECONCILE_EVERY = timedelta(minutes=10)
SHUTDOWN_TIMEOUT = timedelta(seconds=18)
"""An operator channel may take most of it; Docker waits for 20 (see docker-compose.yml)."""

MONITORING_TIMEOUT = timedelta(seconds=5)
"""How long one question of the alerts and of the gauges may take."""

MISSED_RUNS = 4
"""So many runs may be missed before the schedule counts as stopped."""

log = structlog.get_logger()


def main() -> None:
    """Runs each task when it is due, until it is asked to stop."""
    settings = ScheduleSettings.load()
    logs.configure()
    services = exit_on_bad_setting(lambda: build_services(settings))
    exit_on_bad_setting(alerts)
    watched_services = replace(services, database=Database(settings.database_url, statement_timeout=MONITORING_TIMEOUT))
    _serve_metrics(settings, watched_services)
    stop = StopEvent()
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: stop.set())
    schedule = {**SCHEDULE, "alerts": _alert_task(watched_services), **_reconcile_task(settings, stop)}
    log.info("schedule.started", tasks=list(schedule))
    run(schedule, services, stop)


def run(schedule: Schedule, services: Services, stop: StopEvent) -> None:
    """Runs each task in a thread of its own: an operator channel that never answers holds up no sweep.

    What does not end soon after it is asked to is broken off: each task can be, at any point.
    """
    threads = [
        Thread(target=_repeat, args=(name, task, services, interval, stop), daemon=True)
        for name, (interval, task) in schedule.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    until = time.monotonic() + SHUTDOWN_TIMEOUT.total_seconds()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _alert_task(watched_services: Services) -> tuple[timedelta, Task]:
    """The alerts, on a database that is given up soon: one that hangs has to be told of as well."""
    every, task = SCHEDULE["alerts"]
    return every, lambda _services, now: task(watched_services, now)


def _reconcile_task(settings: ScheduleSettings, stop: StopEvent) -> Schedule:
    if not settings.meetergo_api_key:
        return {}
    max_duration = RECONCILE_EVERY * 0.8
    return {
        "reconcile": (RECONCILE_EVERY, partial(reconcile_on_schedule, settings, max_duration=max_duration, stop=stop))
    }


def _serve_metrics(settings: ScheduleSettings, services: Services) -> None:
    port = port_of(settings, "cron")
    if port:
        from worker.gauges import serve_stats  # late: see runtime/metrics_server.py

        serve_stats(services, settings.metrics_host, port)


def _repeat(name: str, task: Task, services: Services, interval: timedelta, stop: StopEvent) -> None:
    while not stop.is_set():
        _run(name, task, services, interval)
        stop.wait(interval.total_seconds())


def _run(name: str, task: Task, services: Services, interval: timedelta) -> None:
    """A task that fails now is run again when it is due again: a database may be away for a while."""
    try:
        task(services, datetime.now(UTC))
        redis = services.job_queue.redis
        heartbeat.record(redis, name, heartbeat.redis_now(redis) + interval, interval * MISSED_RUNS)
    except Exception as error:
        log.error("schedule.failed", task=name, error=type(error).__name__)


if __name__ == "__main__":
    main()
