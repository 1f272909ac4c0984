"""`python -m worker.schedule`: what runs by the clock. One of it is enough; two do no harm."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event

import structlog

from models import logs, pulse
from models.retention import prune
from worker.filing import file_dead
from worker.office import Office, office
from worker.start import or_exit
from worker.sweep import sweep

Task = Callable[[Office, datetime], object]

SCHEDULE: dict[str, tuple[timedelta, Task]] = {
    "sweep": (timedelta(seconds=15), sweep),
    "filing": (timedelta(minutes=1), file_dead),
    "prune": (timedelta(days=1), lambda office, now: prune(office.database, now, office.keep)),
}

MISSED_RUNS = 4
"""So many runs may be missed before the schedule counts as stopped."""

log = structlog.get_logger()


def main() -> None:
    """Runs each task when it is due, until it is asked to stop."""
    logs.configure()
    work_place = or_exit(office)
    stop = Event()
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: stop.set())
    due = dict.fromkeys(SCHEDULE, 0.0)
    while not stop.wait(max(0.0, min(due.values()) - time.monotonic())):
        for name, (interval, task) in SCHEDULE.items():
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
