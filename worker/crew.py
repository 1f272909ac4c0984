"""The crew: the processes of one machine that work at the boxes, started together and kept alive."""

import gc
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from threading import Thread

import structlog
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, worker_registration
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from models import queue
from models.exposition import Exposition
from models.queue import JOB_TIMEOUT, Bell, Box
from models.stop import Stop

REST_BEFORE_RESTART = timedelta(seconds=1)
MAINTENANCE_EVERY = timedelta(seconds=60)
"""RQ looks for jobs whose worker was killed this often; its own default is ten minutes."""
WORKER_TTL = timedelta(seconds=60)
"""An idle worker shows itself more often than this; its registration outlives it by another minute."""
ABANDONED_AFTER = timedelta(seconds=5)
"""Past its timeout, at which RQ breaks a job off, nobody can be working at it."""

log = structlog.get_logger()


class BoxWorker(SimpleWorker):
    """An RQ worker on one queue, so that a job cannot be lost between two lists.

    It does not fork for each job: a job empties a whole box, and what a handler breaks stays in a savepoint.
    """

    max_connection_wait_time = 5.0
    log_result_lifespan = False

    def subscribe(self) -> None:
        """Listens to commands of RQ, in a thread that no signal wakes."""
        with _signals_left_to_the_main_thread():
            super().subscribe()  # type: ignore[no-untyped-call] # RQ has types, but not here

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Shows that it lives, and who it is: a Redis that was emptied has forgotten that."""
        super().heartbeat(timeout, pipeline)
        if self.birth_date is None:
            return
        (self.connection if pipeline is None else pipeline).hset(self.key, mapping=self.serialize())
        worker_registration.register(self, pipeline)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """When a job counts as abandoned, in seconds: soon after its time was up. RQ would wait another minute."""
        return int((job.timeout or JOB_TIMEOUT.total_seconds()) + ABANDONED_AFTER.total_seconds())


@dataclass(frozen=True)
class Crew:
    """So many workers for each box, and one scheduler.

    Each box has workers of its own, so that a slow channel holds up no booking. The scheduler is not a child of
    a worker, as RQ would have it: that child outlives a killed worker with its connection, and swallows the next job.

    Attributes:
        redis_url: the queue's Redis.
        boxes: what to work at.
        processes: how many for each box.
        exposition: shows what they counted, if somebody asked for numbers.
    """

    redis_url: str
    boxes: tuple[Box, ...]
    processes: int
    exposition: Exposition | None = None

    def work(self) -> None:
        """Starts all, restarts who dies, and ends when asked to: each finishes its job first."""
        stop = Stop()
        for request in (signal.SIGTERM, signal.SIGINT):
            signal.signal(request, lambda *_: stop.set())
        gc.freeze()  # what was imported stays: the collector need not look at it again and again
        crew = {duty: _start(duty) for duty in self._duties()}
        log.info("worker.started", boxes=self.boxes, processes=self.processes)
        while not stop.wait(REST_BEFORE_RESTART.total_seconds()):
            for duty, process in crew.items():
                if not process.is_alive():
                    log.warning("worker.died", pid=process.pid, exit_code=process.exitcode)
                    crew[duty] = _start(duty)
        for process in crew.values():
            process.terminate()
        for process in crew.values():
            process.join()

    def _duties(self) -> list[Callable[[], None]]:
        """The scheduler's name stays when it is restarted: so it takes its own lock over at once."""
        name = f"{socket.gethostname()}-{os.getpid()}"
        workers = [partial(work_at, self.redis_url, box) for box in self.boxes for _ in range(self.processes)]
        show = [self.exposition.serve] if self.exposition else []
        return [*workers, partial(schedule_for, self.redis_url, self.boxes, name), *show]


def _start(duty: Callable[[], None]) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=duty)
    process.start()
    return process


def work_at(redis_url: str, box: Box) -> None:
    """One worker, until it is asked to stop."""
    _stop_at_once_until_told_otherwise()
    try:
        worker = _worker(Bell(queue.connect(redis_url)).queue(box))
        try:
            worker.work(logging_level="WARNING")
        except SystemExit:
            worker.register_death()  # type: ignore[no-untyped-call] # RQ has types, but not here
            raise
    except RedisError as error:
        log.error("redis.away", box=box, error=type(error).__name__)


def schedule_for(redis_url: str, boxes: tuple[Box, ...], name: str) -> None:
    """RQ's scheduler: enqueues the jobs of failed rows when their time has come, until it is asked to stop."""
    _stop_at_once_until_told_otherwise()
    scheduler = RQScheduler(
        list(boxes), queue.connect(redis_url), logging_level="WARNING", serializer=JSONSerializer, name=name
    )
    try:
        scheduler.acquire_locks()
        scheduler.work()
    except RedisError as error:
        log.error("redis.away", error=type(error).__name__)


def _worker(box: Queue) -> BoxWorker:
    return BoxWorker(
        [box],
        connection=box.connection,
        serializer=JSONSerializer,
        worker_ttl=int(WORKER_TTL.total_seconds()),
        maintenance_interval=int(MAINTENANCE_EVERY.total_seconds()),
        log_job_description=False,
    )


def _stop_at_once_until_told_otherwise() -> None:
    """The crew's own handlers came along with the fork; RQ sets others as soon as there is a job to finish."""
    for request in (signal.SIGTERM, signal.SIGINT):
        signal.signal(request, lambda *_: sys.exit())
    with _signals_left_to_the_main_thread():
        Thread(target=_stop_with_the_crew, args=(os.getppid(),), daemon=True).start()


@contextmanager
def _signals_left_to_the_main_thread() -> Iterator[None]:
    """For threads that are started meanwhile.

    Of two signals at once, as Ctrl-C and the crew send them, the kernel would give one to such a thread: Python hears
    of it, but the main thread sleeps on in its read of Redis, for up to 45 seconds.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop_with_the_crew(crew: int) -> None:
    """A crew that was killed could not say so: nobody would restart who it left behind, nor stop them."""
    while os.getppid() == crew:
        time.sleep(REST_BEFORE_RESTART.total_seconds())
    os.kill(os.getpid(), signal.SIGTERM)
