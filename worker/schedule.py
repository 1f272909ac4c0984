"""`python -m worker.schedule`: what runs by the clock. One of it is enough; two do no harm."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import structlog

from models import logs, pulse
from models.retention import prune
from worker.errand import Errand
from worker.office import Office, open_office
from worker.reconcile import reconcile_by_the_clock
from worker.settings import ScheduleSettings
from worker.start import or_exit
from worker.sweep import sweep

Task = Callable[[Office, datetime], object]

Schedule = dict[str, tuple[timedelta, Task]]

SCHEDULE: Schedule = {
    "sweep": (timedelta(seconds=15), sweep),
    "prune": (timedelta(days=1), lambda office, now: prune(office.database, now, office.keep)),
}

RECONCILE_EVERY = timedelta(minutes=10)
LONGEST_FAREWELL = timedelta(seconds=5)

MISSED_RUNS = 4
"""So many runs may be missed before the schedule counts as stopped."""

log = structlog.get_logger()


def main() -> None:
    """Runs each task when it is due, until it is asked to stop."""
    logs.configure()
    settings = ScheduleSettings.load()
    work_place = or_exit(lambda: open_office(settings))
    stop = Event()
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: stop.set())
    errand = Errand(partial(reconcile_by_the_clock, settings, longest=RECONCILE_EVERY * 0.8, stop=stop))
    reconcile: Schedule = {"reconcile": (RECONCILE_EVERY, errand.begin)}
    _keep_to({**SCHEDULE, **(reconcile if settings.meetergo_api_key else {})}, work_place, stop)
    errand.wait(LONGEST_FAREWELL)


def _keep_to(schedule: Schedule, work_place: Office, stop: Event) -> None:
    due = dict.fromkeys(schedule, 0.0)
    while not stop.wait(max(0.0, min(due.values()) - time.monotonic())):
        for name, (interval, task) in schedule.items():
            if due[name] <= time.monotonic():
                _run(name, task, work_place, interval)
                due[name] = time.monotonic() + interval.total_seconds()


def _run(name: str, task: Task, work_place: Office, interval: timedelta) -> None:
    """A task that fails now is run again when it is due again: a database may be away for a while."""
    try:
        task(work_place, datetime.now(UTC))
        pulse.beat(work_place.bell.redis, name, datetime.now(UTC) + interval, interval * MISSED_RUNS)
    except Exception as error:
        log.error("schedule.failed", task=name, error=type(error).__name__)


if __name__ == "__main__":
    main()
