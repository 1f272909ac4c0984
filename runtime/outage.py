"""A store that is down: not used for a second after a failure, and logged as one outage with a beginning and an end."""

import time
from datetime import timedelta
from threading import Lock

import structlog

from runtime.errors import log_fields

COOLDOWN = timedelta(seconds=1)
LOG_INTERVAL = timedelta(seconds=30)
"""How often an outage is logged while it lasts."""

log = structlog.get_logger()


class Cooldown:
    """A period after a failure during which a store is not used, so that not every caller waits for it.

    Args:
        duration: how long it lasts.

    Attributes:
        until: its end, by the monotonic clock in seconds.
    """

    def __init__(self, duration: timedelta = COOLDOWN) -> None:
        self._duration = duration
        self.until = 0.0

    def start(self) -> None:
        """Start the cool-down, or start it over."""
        self.until = time.monotonic() + self._duration.total_seconds()


class Outage:
    """Repeated failures of one dependency, logged as one outage.

    Args:
        event: name of the log event; its end is logged as `EVENT_over`.

    Attributes:
        is_on: whether the last use of the dependency failed.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._lock = Lock()
        self.is_on = False
        self._began = 0.0
        self._logged = 0.0
        self._failures = 0

    def record_failure(self, error: BaseException, **fields: object) -> None:
        """Count a failure, and log it if the outage is new or the last log line is old enough."""
        with self._lock:
            now = time.monotonic()
            is_new, self.is_on, self._failures = not self.is_on, True, self._failures + 1
            if not is_new and now - self._logged < LOG_INTERVAL.total_seconds():
                return
            self._began = now if is_new else self._began
            self._logged, duration, failures = now, int(now - self._began), self._failures
        since = {} if is_new else {"for_seconds": duration, "times": failures}
        log.warning(self._event, **{**log_fields(error), **fields}, **since)

    def record_recovery(self) -> None:
        """End the outage, if there is one, and log its duration."""
        with self._lock:
            was_on, self.is_on, failures, self._failures = self.is_on, False, self._failures, 0
        if was_on:
            log.info(f"{self._event}_over", after_seconds=int(time.monotonic() - self._began), failures=failures)
