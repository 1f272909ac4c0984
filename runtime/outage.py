"""An outage: logged when it begins, every half minute while it lasts, and when it is over."""

import time
from datetime import timedelta
from threading import Lock

import structlog

LOG_INTERVAL = timedelta(seconds=30)

log = structlog.get_logger()


class Outage:
    """Repeated failures of one dependency, logged as one outage.

    Args:
        event: name of the log event; its end is logged as `EVENT_over`.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._lock = Lock()
        self._began: float | None = None
        self._logged = 0.0
        self._failures = 0

    def record_failure(self, error: BaseException, **fields: object) -> None:
        """Count a failure, and log it if the outage is new or the last log line is old enough."""
        with self._lock:
            now = time.monotonic()
            is_new, self._failures = self._began is None, self._failures + 1
            if not is_new and now - self._logged < LOG_INTERVAL.total_seconds():
                return
            self._began = now if self._began is None else self._began
            self._logged, duration, failures = now, int(now - self._began), self._failures
        since = {} if is_new else {"for_seconds": duration, "times": failures}
        log.warning(self._event, error=type(error).__name__, **fields, **since)

    def record_recovery(self) -> None:
        """End the outage, if there is one, and log its duration."""
        if self._began is None:
            return
        with self._lock:
            began, self._began, failures, self._failures = self._began, None, self._failures, 0
        if began is not None:
            log.info(f"{self._event}_over", after_seconds=int(time.monotonic() - began), failures=failures)
