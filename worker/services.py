"""The services: what a worker process works with, opened once, at its first job."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from runtime.database import Database
from runtime.queue import JobQueue, QueueName
from worker import hook
from worker.inbox.cancel_check import CancelCheck
from worker.inbox.changes import ChangeRecorder
from worker.inbox.processor import InboxProcessor
from worker.outbox.planner import NotificationPlanner
from worker.outbox.sender import OutboxSender
from worker.settings import WorkerSettings
from worker.tally import Metrics, NoMetrics


@dataclass(frozen=True)
class Services:
    """Everything, put together."""

    database: Database
    bell: JobQueue
    recorder: ChangeRecorder
    inbox: InboxProcessor
    outbox: OutboxSender
    keep: dict[str, timedelta]

    def desk(self, box: QueueName) -> InboxProcessor | OutboxSender:
        """Who works off a box."""
        return self.inbox if box == "inbox" else self.outbox


@cache
def services() -> Services:
    """This process's services. RQ imports jobs before it forks, so nothing is opened at import."""
    return build_services(WorkerSettings.load())


def build_services(settings: WorkerSettings) -> Services:
    """An services on these settings.

    Raises:
        UnusableHook: PLATFORM_HOOK names no function.
        UnusableChannel: NOTIFY_DEFAULT names a channel that cannot be used.
    """
    database, bell = Database(settings.database_url), JobQueue(settings.redis())
    announcer = NotificationPlanner(settings)
    recorder, tally = ChangeRecorder(announcer, hook.load(settings.platform_hook)), _tally(settings)
    return Services(
        database,
        bell,
        recorder,
        InboxProcessor(
            database,
            bell,
            recorder,
            settings.vault(),
            settings.meetergo_company_id,
            _now,
            tally,
            CancelCheck.open(settings.redis(), settings.confirms) if settings.confirms else None,
        ),
        OutboxSender(database, bell, announcer, _now, tally),
        settings.keep,
    )


def _tally(settings: WorkerSettings) -> Metrics:
    if not settings.metrics_port:
        return NoMetrics()
    from worker.counters import PrometheusMetrics  # late: see runtime/metrics_server.py

    return PrometheusMetrics()


def _now() -> datetime:
    return datetime.now(UTC)
