"""`python -m worker.schedule`: what runs by the clock. One of it is enough; two do no harm."""

import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import structlog

from models import logs, pulse
from models.exposition import port_of
from models.retention import prune
from worker.alerts import alerts
from worker.filing import file_dead
from worker.office import Office, office
from worker.settings import ScheduleSettings
from worker.start import or_exit
from worker.sweep import sweep

Task = Callable[[Office, datetime], object]

SCHEDULE: dict[str, tuple[timedelta, Task]] = {
    "sweep": (timedelta(seconds=15), sweep),
    "filing": (timedelta(minutes=1), file_dead),
    "prune": (timedelta(days=1), lambda office, now: prune(office.database, now, office.keep)),
    "alerts": (timedelta(seconds=15), lambda office, now: alerts().check(office, now)),
}

MISSED_RUNS = 4
"""So many runs may be missed before the schedule counts as stopped."""

log = structlog.get_logger()


def main() -> None:
    """Runs each task when it is due, until it is asked to stop."""
    settings = ScheduleSettings.load()
    logs.configure()
    work_place = or_exit(office)
    or_exit(alerts)
    _show_gauges(settings, work_place)
    stop = Event()
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: stop.set())
    log.info("schedule.started", tasks=list(SCHEDULE))
    run(SCHEDULE, work_place, stop)


def run(schedule: Mapping[str, tuple[timedelta, Task]], work_place: Office, stop: Event) -> None:
    """Runs each task in a thread of its own: an operator channel that never answers holds up no sweep."""
    threads = [
        Thread(target=_repeat, args=(name, task, work_place, interval, stop))
        for name, (interval, task) in schedule.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()


def _show_gauges(settings: ScheduleSettings, work_place: Office) -> None:
    port = port_of(settings, "cron")
    if port:
        from worker.gauges import show  # late: see models/exposition.py

        show(work_place, settings.metrics_host, port)


def _repeat(name: str, task: Task, work_place: Office, interval: timedelta, stop: Event) -> None:
    while not stop.is_set():
        _run(name, task, work_place, interval)
        stop.wait(interval.total_seconds())


def _run(name: str, task: Task, work_place: Office, interval: timedelta) -> None:
    """A task that fails now is run again when it is due again: a database may be away for a while."""
    try:
        task(work_place, datetime.now(UTC))
        pulse.beat(work_place.bell.redis, name, datetime.now(UTC) + interval, interval * MISSED_RUNS)
    except Exception as error:
        log.error("schedule.failed", task=name, error=type(error).__name__)


if __name__ == "__main__":
    main()
