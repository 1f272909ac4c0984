"""A worker process: RQ's worker on one queue, run until it is asked to stop."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import UnixSignalDeathPenalty

from runtime.errors import first_line
from runtime.outage import LOG_INTERVAL, Outage
from runtime.process.child_processes import stop_with_parent
from runtime.queue import JOB_TIMEOUT, JobQueue, QueueName
from runtime.redis.allowed_jobs import REJECTION, OwnJob, RejectedJob
from runtime.redis.client import InstallationRedis, prefix_of
from runtime.tracing import switch as tracing
from worker import jobs as jobs  # RQ would import it with the first job: after `git pull`, that is another version
from worker.stopping import stopping

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
MAX_TEMPLATES = 1000
MIN_RETRY_DELAY, MAX_RETRY_DELAY = timedelta(seconds=1), timedelta(seconds=15)
"""Delay between attempts while Redis fails."""
MAX_CONNECTION_WAIT = timedelta(seconds=5)
"""Longest wait of RQ between attempts to connect to Redis; its own default is a minute."""
MAINTENANCE_INTERVAL = timedelta(seconds=60)
"""How often RQ looks for jobs of killed workers; RQ's own default is ten minutes."""
WORKER_TTL = timedelta(seconds=60)
"""Maximum time between heartbeats of an idle worker; its registration outlives the last one by a minute."""
HEARTBEAT_INTERVAL = timedelta(milliseconds=500)
"""Minimum time between heartbeats: RQ sends one before and after each job and each wait for one."""
ABANDONED_AFTER = timedelta(seconds=5)
"""Grace after a job's timeout, at which RQ stops the job: later no worker can be running it."""

log = structlog.get_logger()


class RepeatedTimeout(UnixSignalDeathPenalty):
    """Interrupts a job at its timeout, and again after each further one.

    The first fails only the delivery whose hook hangs. The job goes on, perhaps with the hook of another that hangs.
    """

    def setup_death_penalty(self) -> None:
        """Start the timer."""
        signal.signal(signal.SIGALRM, self.handle_death_penalty)
        signal.setitimer(signal.ITIMER_REAL, self._timeout, self._timeout)


class QueueWorker(SimpleWorker):
    """An RQ worker on a single queue, so that no job is lost between two lists.

    It does not fork per job: a job drains a whole queue, and a savepoint contains a handler's failure.
    """

    job_class = OwnJob
    death_penalty_class = RepeatedTimeout
    log_result_lifespan = False
    _next_heartbeat = 0.0

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._outage = Outage("redis.down")

    def subscribe(self) -> None:
        """Do not listen for RQ's commands: signals stop this worker, it has no child, and Redis may forbid pub/sub."""

    @property
    def stop_requested(self) -> bool:
        """Whether a signal stopped the worker, rather than an error of Redis."""
        return self._shutdown_requested_date is not None

    @property
    def max_connection_wait_time(self) -> float:  # type: ignore[override] # a constant of RQ
        """The longest wait between attempts to connect, in seconds.

        RQ reads it after each attempt, which goes on for as long as Redis is gone, also if a signal's exception was
        dropped meanwhile: Python drops one in a finalizer. So the worker stops here.
        """
        self._raise_if_asked_to_stop()
        return MAX_CONNECTION_WAIT.total_seconds()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job as one of this queue, whatever origin it states."""
        job.origin = queue.name
        super().execute_job(job, queue)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = "", execution: Any = None
    ) -> None:
        """Record a failed job: a rejected one with a short reason only and without retries."""
        if REJECTION in exc_string:
            job.retries_left = 0
        reason = REJECTION if REJECTION in exc_string else exc_string
        super().handle_job_failure(job, queue, started_job_registry, reason, execution)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log a failed job in one line; the failed registry holds the reason.

        After an error of Redis, as when it takes no further connection, RQ would run the job again at once.
        """
        if isinstance(exc_info[1], RejectedJob):
            log.error("job.refused", queue=job.origin, job_id=job.id)
        elif isinstance(exc_info[1], RedisError):
            self._outage.record_failure(exc_info[1], queue=job.origin)
            time.sleep(MIN_RETRY_DELAY.total_seconds())
        else:
            log.warning("job.dead", queue=job.origin, job_id=job.id, error=type(exc_info[1]).__name__)

    def handle_job_success(self, *args: Any, **named: Any) -> None:
        """Record that a job succeeded."""
        super().handle_job_success(*args, **named)
        if self._outage.is_on:
            self._outage.record_recovery()

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Send a heartbeat, and register again if Redis was emptied.

        It is one round trip, which each job waits for. None is sent right after another.
        """
        if pipeline is None:
            if time.monotonic() < self._next_heartbeat:
                return
            with self.connection.pipeline() as own_pipeline:
                self.heartbeat(timeout, own_pipeline)
                own_pipeline.execute()
            return
        super().heartbeat(timeout, pipeline)
        if self.birth_date is not None:
            pipeline.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipeline)
        self._next_heartbeat = time.monotonic() + HEARTBEAT_INTERVAL.total_seconds()

    def handle_warm_shutdown_request(self) -> None:
        """Stop on a signal: the current job begins nothing new."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call] # RQ has types, but not here
        stopping.request()
        self._stop_requested = True

    def run_maintenance_tasks(self) -> None:
        """Run maintenance. RQ swallows an exception that a signal raises meanwhile and would go on to wait for jobs."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call] # RQ has types, but not here
        self._raise_if_asked_to_stop()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a job, unless a stop was requested since RQ checked."""
        self._raise_if_asked_to_stop()
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def _raise_if_asked_to_stop(self) -> None:
        if stopping.is_requested:
            raise StopRequested

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return the seconds until a job counts as abandoned: soon after its timeout. RQ would wait another minute."""
        return int((job.timeout or JOB_TIMEOUT.total_seconds()) + ABANDONED_AFTER.total_seconds())


def run_worker(redis: Callable[[], InstallationRedis], queue: QueueName) -> None:
    """Run one worker until it is asked to stop. While Redis fails, retry with growing delays."""
    _exit_on_signal()
    stop_with_parent()
    _shorten_rq_logs()
    tracing.start("worker")
    try:
        _retry_until_stopped(queue, lambda: _run_rq_worker(redis(), queue))
    finally:
        stopping.wait()


def _run_rq_worker(redis: InstallationRedis, queue: QueueName) -> bool:
    """Run RQ's worker until it is asked to stop, or Redis fails.

    Returns:
        Whether it was asked to stop.
    """
    with redis:
        worker = _build_rq_worker(redis, queue)
        try:
            worker.work(logging_level="WARNING")
        except SystemExit:
            worker.register_death()  # type: ignore[no-untyped-call] # RQ has types, but not here
            raise
        except RedisError:
            if not worker.stop_requested:  # otherwise it only failed to unregister
                raise
        return worker.stop_requested


def _retry_until_stopped(source: str, work: Callable[[], bool]) -> None:
    outage, delay = Outage("redis.down"), MIN_RETRY_DELAY
    while not stopping.is_requested:
        began = time.monotonic()
        try:
            if work():
                return
        except RedisError as error:
            outage.record_failure(error, queue=source)
        except (ValueError, TypeError) as error:  # data in Redis that is not RQ's
            outage.record_failure(error, queue=source, reason=first_line(error))
        if time.monotonic() - began > MAX_RETRY_DELAY.total_seconds():
            outage.record_recovery()
            delay = MIN_RETRY_DELAY
        _exit_on_signal()  # RQ's handlers refer to a worker that no longer runs
        if not stopping.is_requested:
            time.sleep(delay.total_seconds())
        delay = min(2 * delay, MAX_RETRY_DELAY)


def _build_rq_worker(redis: InstallationRedis, queue: QueueName) -> QueueWorker:
    return _worker_type()(
        [JobQueue(redis).queue(queue)],
        name=f"{prefix_of(redis)}-{uuid4().hex}",
        connection=redis,
        serializer=JSONSerializer,
        worker_ttl=int(WORKER_TTL.total_seconds()),
        maintenance_interval=int(MAINTENANCE_INTERVAL.total_seconds()),
        log_job_description=False,
    )


def _worker_type() -> type[QueueWorker]:
    if not tracing.is_on():
        return QueueWorker
    from worker.tracing import job_span  # late: imports OpenTelemetry

    class TracedWorker(QueueWorker):
        """Our worker, with a span for each job."""

        def execute_job(self, job: Job, queue: Queue) -> None:
            """Run a job."""
            with job_span(job, queue):
                super().execute_job(job, queue)

    return TracedWorker


def _shorten_rq_logs() -> None:
    """Shorten RQ's logs: one line per error, and no repeats every second."""
    for name in ("rq.worker", "rq.job", "rq.registry"):
        logging.getLogger(name).addFilter(BriefLogFilter())


class BriefLogFilter(logging.Filter):
    """Removes tracebacks, and drops repeats within half a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last_logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record; may shorten it."""
        now, template = time.monotonic(), str(record.msg)
        if now - self._last_logged.get(template, -LOG_INTERVAL.total_seconds()) < LOG_INTERVAL.total_seconds():
            return False
        if len(self._last_logged) > MAX_TEMPLATES:
            self._last_logged.clear()
        self._last_logged[template] = now
        text = record.getMessage().partition("\n")[0]
        if record.exc_info and record.exc_info[1]:
            text = f"{text} ({type(record.exc_info[1]).__name__}: {first_line(record.exc_info[1])})"
        record.msg, record.args, record.exc_info = text, (), None
        return True


def _exit_on_signal() -> None:
    """Exit on a signal. RQ sets handlers of its own as soon as there is a job to finish."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, _exit)


def _exit(*_: object) -> None:
    """Exit. Python drops the exception in a finalizer; then the next check of `stopping` ends the process."""
    stopping.request()
    sys.exit()
