"""An errand: a task that takes minutes, so that it is done beside the others and not before them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread

import structlog

from worker.office import Office

log = structlog.get_logger()


class Errand:
    """Runs in a thread of its own, one run at a time.

    Args:
        task: what to do. It ends soon when the process is asked to stop; its thread ends with the process.
    """

    def __init__(self, task: Callable[[Office, datetime], object]) -> None:
        self._task = task
        self._thread: Thread | None = None

    def begin(self, office: Office, now: datetime) -> None:
        """Begins a run, unless the last one is still on its way."""
        if not (self._thread and self._thread.is_alive()):
            self._thread = Thread(target=self._run, args=(office, now), name="errand", daemon=True)
            self._thread.start()

    def wait(self, longest: timedelta) -> None:
        """Until it is done, or for so long."""
        if self._thread:
            self._thread.join(longest.total_seconds())

    def _run(self, office: Office, now: datetime) -> None:
        """What fails now is tried again when it is due again."""
        try:
            self._task(office, now)
        except Exception as error:
            log.error("errand.failed", error=type(error).__name__)
