"""The crew: the processes of one machine that work at the boxes, started together and kept alive."""

import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from runtime.child_processes import stop_with_parent
from runtime.errors import first_line
from runtime.metrics_server import MetricsServer
from runtime.outage import STILL_EVERY, Outage
from runtime.queue import JOB_TIMEOUT, JobQueue, QueueName, queue_name
from runtime.redis.allowed_jobs import REFUSAL, OwnJob, RefusedJob
from runtime.redis.client import InstallationRedis, prefix_of
from runtime.stop_signal import Stop
from worker import identity, recovery
from worker.stopping import stopping

REST_BEFORE_RESTART = timedelta(seconds=1)
MOST_TEMPLATES = 1000
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=15)
"""Between two tries to work while Redis fails us."""
MAINTENANCE_EVERY = timedelta(seconds=60)
"""RQ looks for jobs whose worker was killed this often; its own default is ten minutes."""
WORKER_TTL = timedelta(seconds=60)
"""An idle worker shows itself more often than this; its registration outlives it by another minute."""
ABANDONED_AFTER = timedelta(seconds=5)
"""Past its timeout, at which RQ breaks a job off, nobody can be working at it."""

log = structlog.get_logger()


class Death(NamedTuple):
    """That of a process: its name and number, and whether it did not end by itself."""

    name: str
    was_violent: bool
    pid: int | None = None


NOBODY_KNOWN = Death("", was_violent=False)
"""A crew that starts does not know who died before it."""


class QueueWorker(SimpleWorker):
    """An RQ worker on one queue, so that a job cannot be lost between two lists.

    It does not fork for each job: a job empties a whole box, and what a handler breaks stays in a savepoint.
    """

    job_class = OwnJob
    max_connection_wait_time = 5.0
    log_result_lifespan = False

    def subscribe(self) -> None:
        """Hears no commands of RQ: signals stop it, it has no child to kill, and it needs no right to channels."""

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether it ended by a signal, and not since Redis failed it."""
        return self._shutdown_requested_date is not None

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs a job that lay in this queue, whatever else it says of itself."""
        job.origin = queue.name
        super().execute_job(job, queue)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = "", execution: Any = None
    ) -> None:
        """Files a job that failed: one that was refused with a sentence only, and for good."""
        if REFUSAL in exc_string:
            job.retries_left = 0
        reason = REFUSAL if REFUSAL in exc_string else exc_string
        super().handle_job_failure(job, queue, started_job_registry, reason, execution)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Logs a job that failed in one line; the failed registry says why."""
        if isinstance(exc_info[1], RefusedJob):
            log.error("job.refused", queue=job.origin, job_id=job.id)
        else:
            log.warning("job.ended_dead", queue=job.origin, job_id=job.id, error=type(exc_info[1]).__name__)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Shows that it lives, and who it is: a Redis that was emptied has forgotten that."""
        super().heartbeat(timeout, pipeline)
        if self.birth_date is None:
            return
        (self.connection if pipeline is None else pipeline).hset(self.key, mapping=self.serialize())
        worker_registration.register(self, pipeline)

    def handle_warm_shutdown_request(self) -> None:
        """Asked to stop by a signal: its job begins nothing more."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call] # RQ has types, but not here
        stopping.request()
        self._stop_requested = True

    def run_maintenance_tasks(self) -> None:
        """Tidies up. RQ swallows what a signal raises meanwhile, and would go on to wait for jobs."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call] # RQ has types, but not here
        self._raise_if_asked_to_stop()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Waits for a job, unless it was asked to stop since RQ looked."""
        self._raise_if_asked_to_stop()
        return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def _raise_if_asked_to_stop(self) -> None:
        if self._stop_requested:
            raise StopRequested

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """When a job counts as abandoned, in seconds: soon after its time was up. RQ would wait another minute."""
        return int((job.timeout or JOB_TIMEOUT.total_seconds()) + ABANDONED_AFTER.total_seconds())


@dataclass(frozen=True)
class WorkerPool:
    """So many workers for each box, and one scheduler.

    Each box has workers of its own, so that a slow channel holds up no booking. The scheduler is not a child of
    a worker, as RQ would have it: that child outlives a killed worker with its connection, and swallows the next job.

    Attributes:
        redis: opens a connection, in the process that will use it.
        boxes: what to work at.
        processes: how many for each box.
        exposition: shows what they counted, if somebody asked for numbers.
    """

    redis: Callable[[], InstallationRedis]
    boxes: tuple[QueueName, ...]
    processes: int
    exposition: MetricsServer | None = None

    def work(self) -> None:
        """Starts all, restarts who dies, and ends when asked to: each finishes its job first."""
        stop = Stop()
        for request in (signal.SIGTERM, signal.SIGINT):
            signal.signal(request, lambda *_: stop.set())
        gc.freeze()  # what was imported stays: the collector need not look at it again and again
        duties = self._duties()
        crew = {duties[0]: _start(duties[0], after=NOBODY_KNOWN)} | {duty: _start(duty) for duty in duties[1:]}
        log.info("worker.started", boxes=self.boxes, processes=self.processes)
        while not stop.wait(REST_BEFORE_RESTART.total_seconds()):
            for duty, process in crew.items():
                if not process.is_alive():
                    log.warning("worker.died", pid=process.pid, exit_code=process.exitcode)
                    death = Death(process.name, process.exitcode != 0, process.pid)
                    crew[duty] = _start(duty, after=death)
        for process in crew.values():
            process.terminate()
        for process in crew.values():
            process.join()

    def _duties(self) -> list[Callable[[], None]]:
        """The scheduler's name stays when it is restarted: so it takes its own lock over at once."""
        name = f"{socket.gethostname()}-{os.getpid()}"
        workers = [partial(run_worker, self.redis, box) for box in self.boxes for _ in range(self.processes)]
        show = [self.exposition.serve] if self.exposition else []
        return [*workers, partial(schedule_for, self.redis, self.boxes, name), *show]


def _start(duty: Callable[[], None], after: Death | None = None) -> BaseProcess:
    name = identity.new_name()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(duty, name, after), name=name)
    process.start()
    return process


def _run(duty: Callable[[], None], name: str, after: Death | None) -> None:
    """What the dead one had claimed is freed here, and not by the crew: that must survive whatever the stores do."""
    identity.be(name)
    if after:
        for request in (signal.SIGTERM, signal.SIGINT):
            signal.signal(request, signal.SIG_DFL)  # the crew's own handlers came along with the fork
        recovery.after_a_death(after.name, was_violent=after.was_violent, pid=after.pid)
    duty()


def run_worker(redis: Callable[[], InstallationRedis], box: QueueName) -> None:
    """One worker, until it is asked to stop. While Redis fails it, it tries again, less and less often."""
    _stop_at_once_until_told_otherwise()
    _keep_rq_brief()
    try:
        _until_asked_to_stop(box, lambda: _work(redis(), box))
    finally:
        stopping.wait()


def _work(redis: InstallationRedis, box: QueueName) -> bool:
    """Until it is asked to stop, or Redis fails it.

    Returns:
        Whether it was asked.
    """
    with redis:
        worker = _worker(redis, box)
        try:
            worker.work(logging_level="WARNING")
        except SystemExit:
            worker.register_death()  # type: ignore[no-untyped-call] # RQ has types, but not here
            raise
        except RedisError:
            if not worker.was_asked_to_stop:  # else it could not say good-bye
                raise
        return worker.was_asked_to_stop


def schedule_for(redis: Callable[[], InstallationRedis], boxes: tuple[QueueName, ...], name: str) -> None:
    """RQ's scheduler: enqueues the jobs of failed rows when their time has come, until it is asked to stop."""
    _stop_at_once_until_told_otherwise()
    _keep_rq_brief()
    _until_asked_to_stop("scheduler", lambda: _schedule(redis(), boxes, name))


def _schedule(redis: InstallationRedis, boxes: tuple[QueueName, ...], name: str) -> bool:
    with redis:
        queues = [queue_name(redis, box) for box in boxes]
        scheduler = RQScheduler(
            queues, redis, logging_level="WARNING", serializer=JSONSerializer, name=f"{prefix_of(redis)}-{name}"
        )
        try:
            scheduler.acquire_locks()
            scheduler.work()
        except RedisError:
            if not scheduler._stop_requested:  # else it could not give its locks back: they end by themselves
                raise
        return True


def _until_asked_to_stop(place: str, work: Callable[[], bool]) -> None:
    outage, pause = Outage("redis.away"), SHORTEST_PAUSE
    while True:
        began = time.monotonic()
        try:
            if work():
                return
        except (RedisError, ValueError, TypeError) as error:  # the latter two: what Redis holds is not RQ's
            outage.notice(error, box=place, reason=first_line(error))
        if time.monotonic() - began > LONGEST_PAUSE.total_seconds():
            outage.end()
            pause = SHORTEST_PAUSE
        _stop_at_once()  # RQ's handlers would tell who is not at work any more
        time.sleep(pause.total_seconds())
        pause = min(2 * pause, LONGEST_PAUSE)


def _worker(redis: InstallationRedis, box: QueueName) -> QueueWorker:
    return QueueWorker(
        [JobQueue(redis).queue(box)],
        name=f"{prefix_of(redis)}-{uuid4().hex}",
        connection=redis,
        serializer=JSONSerializer,
        worker_ttl=int(WORKER_TTL.total_seconds()),
        maintenance_interval=int(MAINTENANCE_EVERY.total_seconds()),
        log_job_description=False,
    )


def _keep_rq_brief() -> None:
    """For the loggers of RQ: one line for an error, and not the same every second."""
    for name in ("rq.worker", "rq.job", "rq.scheduler", "rq.registry"):
        logging.getLogger(name).addFilter(Brief())


class Brief(logging.Filter):
    """Cuts tracebacks off, and drops what was said within half a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written; it may be shortened."""
        now, template = time.monotonic(), str(record.msg)
        if now - self._said.get(template, -STILL_EVERY.total_seconds()) < STILL_EVERY.total_seconds():
            return False
        if len(self._said) > MOST_TEMPLATES:
            self._said.clear()
        self._said[template] = now
        words = record.getMessage().partition("\n")[0]
        if record.exc_info and record.exc_info[1]:
            words = f"{words} ({type(record.exc_info[1]).__name__}: {first_line(record.exc_info[1])})"
        record.msg, record.args, record.exc_info = words, (), None
        return True


def _stop_at_once_until_told_otherwise() -> None:
    """The crew's own handlers came along with the fork; RQ sets others as soon as there is a job to finish."""
    _stop_at_once()
    stop_with_parent()


def _stop_at_once() -> None:
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: sys.exit())
