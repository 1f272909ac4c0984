"""`python -m worker.scheduler`: runs periodic tasks. One instance is enough; two do no harm."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from threading import Thread

import structlog
from redis.exceptions import RedisError

from models.account import DEFAULT
from models.privacy.retention import prune
from runtime import logs
from runtime.http.metrics_server import port_of
from runtime.outage import Outage
from runtime.process.misspelt import warn_of_misspelt_settings
from runtime.process.stop_signal import StopEvent
from runtime.redis import heartbeat
from runtime.tracing import switch as tracing
from worker.maintenance.account_tasks import AT_ONCE, AccountRound
from worker.maintenance.alerts import alerts
from worker.maintenance.arrivals import arrivals, observe_accounts
from worker.maintenance.external_checks import external_checks
from worker.maintenance.failed_jobs import sync_failed_jobs
from worker.maintenance.sweeper import sweep, wake
from worker.reconcile.runner import reconcile_on_schedule
from worker.services import Services
from worker.settings import ScheduleSettings
from worker.start import exit_on_bad_setting, open_services

Task = Callable[[Services, datetime], object]
Schedule = dict[str, tuple[timedelta, Task]]

RUN_EXECUTOR = "operations.runs.executor"
"""Named by string, as jobs are: `operations` builds on this package, and runs need its replay."""
RECONCILE_EVERY = timedelta(minutes=10)
MAX_RECONCILE_TIME = RECONCILE_EVERY * 0.8
SHUTDOWN_TIMEOUT = timedelta(seconds=18)
"""Limit for stopping. An operator channel may take most of it; Docker waits 20 s (see docker-compose.yml)."""

POOL_SIZE = 10 + AT_ONCE
"""Maximum number of database connections: one for each task, and for each account that is handled at once."""
MONITORING_TIMEOUT = timedelta(seconds=5)
"""Query timeout for alerts and gauges."""

MISSED_RUNS = 4
"""Number of runs that may be missed before the scheduler counts as stopped."""
HEARTBEAT_INTERVAL = timedelta(minutes=1)
"""How often the heartbeat of a task that runs rarely is recorded again: Redis may be emptied meanwhile."""
RETRY_INTERVAL = timedelta(minutes=10)
"""Within which time a failed task runs again: the scheduler may have started before its stores, and one runs daily."""
MIN_HEARTBEAT_TTL = timedelta(minutes=1)
"""Lower bound, so that a task that runs each second does not count as stopped after a few slow seconds."""

log = structlog.get_logger()


def main() -> None:
    """Run each task when it is due, until asked to stop."""
    settings = ScheduleSettings.load()
    logs.configure()
    warn_of_misspelt_settings()
    is_traced = tracing.start("scheduler")
    services = open_services(settings, settings.database(POOL_SIZE))
    exit_on_bad_setting(alerts)
    watched_services = replace(services, database=settings.database(statement_timeout=MONITORING_TIMEOUT))
    _serve_metrics(settings, watched_services)
    stop = StopEvent()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    schedule = {
        **SCHEDULE,
        # On a connection with a short timeout, so that a hanging database is reported, too.
        "alerts": (SCHEDULE["alerts"][0], lambda _services, now: alerts().check(watched_services, now)),
        **_reconcile_task(settings, stop),
        **_account_task(settings, stop),
        **external_checks(settings, alerts().observed),
    }
    if is_traced:
        from worker.tracing import traced_schedule  # late: imports OpenTelemetry

        schedule = traced_schedule(schedule)
    log.info("schedule.started", tasks=list(schedule))
    run(schedule, services, stop)


def run(schedule: Schedule, services: Services, stop: StopEvent) -> None:
    """Run each task in its own thread, so that an unresponsive operator channel delays no sweep.

    A task that does not end soon after a stop is abandoned: each one can be interrupted anywhere.
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


def _advance_runs(services: Services, now: datetime) -> object:
    return import_module(RUN_EXECUTOR).advance_runs(services, now)


def _observe_arrivals(services: Services, now: datetime) -> None:
    alerts().observed.update(arrivals(DEFAULT).observe(services, now))
    observe_accounts(services, now, alerts().observed_accounts)


SCHEDULE: Schedule = {
    "wake": (timedelta(seconds=1), wake),
    "sweep": (timedelta(seconds=15), sweep),
    "runs": (timedelta(seconds=1), _advance_runs),
    "failed_jobs": (timedelta(minutes=1), sync_failed_jobs),
    "prune": (timedelta(days=1), lambda services, now: prune(services.database, now, services.retention)),
    "alerts": (timedelta(seconds=15), lambda services, now: alerts().check(services, now)),
    "arrivals": (timedelta(minutes=10), _observe_arrivals),
}


def _reconcile_task(settings: ScheduleSettings, stop: StopEvent) -> Schedule:
    if not settings.meetergo_api_key:
        return {}
    task = partial(reconcile_on_schedule, settings, max_duration=MAX_RECONCILE_TIME, stop=stop, account=DEFAULT)
    return {"reconcile": (RECONCILE_EVERY, task)}


def _account_task(settings: ScheduleSettings, stop: StopEvent) -> Schedule:
    observed = alerts().observed_accounts
    return {
        "accounts": (
            RECONCILE_EVERY,
            lambda services, now: AccountRound(settings, observed, services, now, MAX_RECONCILE_TIME, stop).run(),
        )
    }


def _serve_metrics(settings: ScheduleSettings, services: Services) -> None:
    port = port_of(settings, "cron")
    if port:
        from worker.metrics.gauges import serve_stats  # late: see runtime/http/metrics_server.py

        serve_stats(services, settings.metrics_host, port)


def _repeat(name: str, task: Task, services: Services, interval: timedelta, stop: StopEvent) -> None:
    outage, completed, next_run = Outage("schedule.failed"), False, time.monotonic()
    while not stop.is_set():
        left = timedelta(seconds=next_run - time.monotonic())
        if left <= timedelta(0):
            completed = _run(name, task, services, interval, outage)
            left = interval if completed else min(interval, RETRY_INTERVAL)
            next_run = time.monotonic() + left.total_seconds()
        elif completed:
            with suppress(RedisError):  # down
                _record_heartbeat(services, name, interval, left)
        stop.wait(min(left, HEARTBEAT_INTERVAL).total_seconds())


def _run(name: str, task: Task, services: Services, interval: timedelta, outage: Outage) -> bool:
    """Run a task once. A failed task runs again soon: the database may be down for a while.

    Returns:
        Whether it completed.
    """
    try:
        task(services, datetime.now(UTC))
    except Exception as error:
        outage.record_failure(error, task=name)
        return False
    outage.record_recovery()
    with suppress(RedisError):  # down: it is recorded within `HEARTBEAT_INTERVAL` after it is back
        _record_heartbeat(services, name, interval, interval)
    return True


def _record_heartbeat(services: Services, name: str, interval: timedelta, left: timedelta) -> None:
    """Record that a task completed, and that it runs again when the time that is left is over.

    Raises:
        RedisError: Redis is down.
    """
    redis = services.job_queue.redis
    ttl = max(interval * (MISSED_RUNS - 1) + left, MIN_HEARTBEAT_TTL)
    heartbeat.record(redis, name, heartbeat.redis_now(redis) + left, ttl)


if __name__ == "__main__":
    main()
