"""The composition root of a worker process, built once at its first job."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial

from models.account import DEFAULT, AccountConfig
from models.account_cache import Accounts
from runtime.database import Database
from runtime.queue import JobQueue, QueueName
from runtime.tracing import switch as tracing
from worker import hook
from worker.inbox.batch import ChangeRecorder
from worker.inbox.cancel_check import CancelChecks
from worker.inbox.processor import InboxProcessor
from worker.metrics.protocol import Metrics, NoMetrics
from worker.outbox.planner import NotificationPlanner
from worker.outbox.sender import OutboxSender
from worker.settings import WorkerSettings


@dataclass(frozen=True)
class Services:
    """The objects that the jobs of a process work with."""

    database: Database
    job_queue: JobQueue
    recorder: ChangeRecorder
    inbox: InboxProcessor
    outbox: OutboxSender
    retention: dict[str, timedelta]
    accounts: Accounts

    def processor(self, queue: QueueName) -> InboxProcessor | OutboxSender:
        """Return the processor of a queue."""
        return self.inbox if queue == "inbox" else self.outbox


@cache
def services() -> Services:
    """Return this process's services. RQ imports jobs before it forks, so nothing is opened at import."""
    return build_services(WorkerSettings.load())


def build_services(settings: WorkerSettings, database: Database | None = None) -> Services:
    """Build the services from settings.

    Args:
        settings: the worker's settings.
        database: the database to use; None to open the one in the settings.

    Raises:
        UnusableHook: PLATFORM_HOOK does not name a usable function, or PLATFORM_PATH no folder.
        UnusableChannel: NOTIFY_DEFAULT names a channel that cannot be used.
        InvalidBranding: a setting of the mails' look cannot be used.
    """
    if settings.mail_logo or settings.mail_templates:
        from worker.channels.mail.composer import open_templates

        open_templates(settings)  # otherwise a bad setting would show only at the first mail
    inbox_type, outbox_type = InboxProcessor, OutboxSender
    if tracing.is_on():
        from worker.tracing import TracedInboxProcessor, TracedOutboxSender  # late: imports OpenTelemetry

        inbox_type, outbox_type = TracedInboxProcessor, TracedOutboxSender
    database, job_queue, cipher = database or settings.database(), JobQueue(settings.redis()), settings.cipher()
    default = AccountConfig(DEFAULT, settings.meetergo_company_id)
    accounts = Accounts(database, cipher, default, settings.webhook_account)
    planner = NotificationPlanner(settings, accounts)
    platform_hook = hook.load(settings.platform_hook, settings.platform_folders)
    if platform_hook:
        hook.forbid_commit_as_sql(database.engine)
    recorder = ChangeRecorder(planner, platform_hook, settings.database_notify)
    mode, clock, metrics = settings.confirmation_mode, partial(datetime.now, UTC), _metrics(settings, accounts)
    cancel_checks = CancelChecks.open(settings.redis(), mode, accounts) if mode else None
    inbox = inbox_type(database, job_queue, recorder, cipher, accounts, clock, metrics, cancel_checks)
    outbox = outbox_type(database, planner, clock, metrics, partial(job_queue.trigger_drain, "outbox"))
    return Services(database, job_queue, recorder, inbox, outbox, settings.keep_for, accounts)


def _metrics(settings: WorkerSettings, accounts: Accounts) -> Metrics:
    if not settings.metrics_port:
        return NoMetrics()
    from worker.metrics.counters import PrometheusMetrics  # late: see runtime/http/metrics_server.py

    return PrometheusMetrics(accounts)
