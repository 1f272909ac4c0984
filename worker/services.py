"""The office: what a worker process works with, opened once, at its first job."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from runtime.database import Database
from runtime.queue import JobQueue, QueueName
from worker import hook
from worker.inbox.cancel_check import Confirmation
from worker.inbox.changes import Recorder
from worker.inbox.processor import Inbox
from worker.outbox.planner import Announcer
from worker.outbox.sender import Outbox
from worker.settings import WorkerSettings
from worker.tally import NoTally, Tally


@dataclass(frozen=True)
class Office:
    """Everything, put together."""

    database: Database
    bell: JobQueue
    recorder: Recorder
    inbox: Inbox
    outbox: Outbox
    keep: dict[str, timedelta]

    def desk(self, box: QueueName) -> Inbox | Outbox:
        """Who works off a box."""
        return self.inbox if box == "inbox" else self.outbox


@cache
def office() -> Office:
    """This process's office. RQ imports jobs before it forks, so nothing is opened at import."""
    return open_office(WorkerSettings.load())


def open_office(settings: WorkerSettings) -> Office:
    """An office on these settings.

    Raises:
        UnusableHook: PLATFORM_HOOK names no function.
        UnusableChannel: NOTIFY_DEFAULT names a channel that cannot be used.
    """
    database, bell = Database(settings.database_url), JobQueue(settings.redis())
    announcer = Announcer(settings)
    recorder, tally = Recorder(announcer, hook.load(settings.platform_hook)), _tally(settings)
    return Office(
        database,
        bell,
        recorder,
        Inbox(
            database,
            bell,
            recorder,
            settings.vault(),
            settings.meetergo_company_id,
            _now,
            tally,
            Confirmation.open(settings.redis(), settings.confirms) if settings.confirms else None,
        ),
        Outbox(database, bell, announcer, _now, tally),
        settings.keep,
    )


def _tally(settings: WorkerSettings) -> Tally:
    if not settings.metrics_port:
        return NoTally()
    from worker.counters import Counters  # late: see runtime/metrics_server.py

    return Counters()


def _now() -> datetime:
    return datetime.now(UTC)
