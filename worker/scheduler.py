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
from runtime.redis import heartbeat
from runtime.stop_signal import Stop
from worker.maintenance.alerts import alerts
from worker.maintenance.failed_jobs import sync_failed_jobs
from worker.maintenance.sweeper import sweep
from worker.reconcile.runner import reconcile_by_the_clock
from worker.services import Services, build_services
from worker.settings import ScheduleSettings
from worker.start import exit_on_bad_setting

Task = Callable[[Services, datetime], object]

Schedule = dict[str, tuple[timedelta, Task]]

SCHEDULE: Schedule = {
    "sweep": (timedelta(seconds=15), sweep),
    "filing": (timedelta(minutes=1), sync_failed_jobs),
    "prune": (timedelta(days=1), lambda office, now: prune(office.database, now, office.keep)),
    "alerts": (timedelta(seconds=15), lambda office, now: alerts().check(office, now)),
}

RECONCILE_EVERY = timedelta(minutes=10)
LONGEST_FAREWELL = timedelta(seconds=18)
"""An operator channel may take most of it; Docker waits for 20 (see docker-compose.yml)."""

WATCHING_PATIENCE = timedelta(seconds=5)
"""How long one question of the alerts and of the gauges may take."""

MISSED_RUNS = 4
"""So many runs may be missed before the schedule counts as stopped."""

log = structlog.get_logger()


def main() -> None:
    """Runs each task when it is due, until it is asked to stop."""
    settings = ScheduleSettings.load()
    logs.configure()
    work_place = exit_on_bad_setting(lambda: build_services(settings))
    exit_on_bad_setting(alerts)
    watched = replace(work_place, database=Database(settings.database_url, statement_timeout=WATCHING_PATIENCE))
    _show_gauges(settings, watched)
    stop = Stop()
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: stop.set())
    schedule = {**SCHEDULE, "alerts": _watching(watched), **_asking_meetergo(settings, stop)}
    log.info("schedule.started", tasks=list(schedule))
    run(schedule, work_place, stop)


def run(schedule: Schedule, work_place: Services, stop: Stop) -> None:
    """Runs each task in a thread of its own: an operator channel that never answers holds up no sweep.

    What does not end soon after it is asked to is broken off: each task can be, at any point.
    """
    threads = [
        Thread(target=_repeat, args=(name, task, work_place, interval, stop), daemon=True)
        for name, (interval, task) in schedule.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    until = time.monotonic() + LONGEST_FAREWELL.total_seconds()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _watching(watched: Services) -> tuple[timedelta, Task]:
    """The alerts, on a database that is given up soon: one that hangs has to be told of as well."""
    every, task = SCHEDULE["alerts"]
    return every, lambda _office, now: task(watched, now)


def _asking_meetergo(settings: ScheduleSettings, stop: Stop) -> Schedule:
    if not settings.meetergo_api_key:
        return {}
    longest = RECONCILE_EVERY * 0.8
    return {"reconcile": (RECONCILE_EVERY, partial(reconcile_by_the_clock, settings, longest=longest, stop=stop))}


def _show_gauges(settings: ScheduleSettings, work_place: Services) -> None:
    port = port_of(settings, "cron")
    if port:
        from worker.gauges import show  # late: see runtime/metrics_server.py

        show(work_place, settings.metrics_host, port)


def _repeat(name: str, task: Task, work_place: Services, interval: timedelta, stop: Stop) -> None:
    while not stop.is_set():
        _run(name, task, work_place, interval)
        stop.wait(interval.total_seconds())


def _run(name: str, task: Task, work_place: Services, interval: timedelta) -> None:
    """A task that fails now is run again when it is due again: a database may be away for a while."""
    try:
        task(work_place, datetime.now(UTC))
        redis = work_place.bell.redis
        heartbeat.record(redis, name, heartbeat.clock(redis) + interval, interval * MISSED_RUNS)
    except Exception as error:
        log.error("schedule.failed", task=name, error=type(error).__name__)


if __name__ == "__main__":
    main()
