"""An outage: logged when it begins, every half minute while it lasts, and when it is over."""

import time
from datetime import timedelta
from threading import Lock

import structlog

STILL_EVERY = timedelta(seconds=30)

log = structlog.get_logger()


class Outage:
    """What goes wrong again and again, as long as something is down.

    Args:
        event: what it is called in the log; its end is `EVENT_over`.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._lock = Lock()
        self._began: float | None = None
        self._logged = 0.0
        self._times = 0

    def notice(self, error: BaseException, **more: object) -> None:
        """It went wrong once more."""
        with self._lock:
            now = time.monotonic()
            is_new, self._times = self._began is None, self._times + 1
            if not is_new and now - self._logged < STILL_EVERY.total_seconds():
                return
            self._began = now if self._began is None else self._began
            self._logged, lasted, times = now, int(now - self._began), self._times
        since = {} if is_new else {"for_seconds": lasted, "times": times}
        log.warning(self._event, error=type(error).__name__, **more, **since)

    def end(self) -> None:
        """It went right."""
        if self._began is None:
            return
        with self._lock:
            began, self._began, times, self._times = self._began, None, self._times, 0
        if began is not None:
            log.info(f"{self._event}_over", after_seconds=int(time.monotonic() - began), times=times)
