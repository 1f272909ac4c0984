"""The crew: the worker processes of one machine, started together and kept alive."""

import multiprocessing
import signal
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from threading import Event

import structlog
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from models import queue
from models.queue import Bell, Box

REST_BEFORE_RESTART = timedelta(seconds=1)
MAINTENANCE_EVERY = timedelta(seconds=60)
"""RQ looks for jobs whose worker was killed this often; its own default is ten minutes."""

WORKER_TTL = timedelta(seconds=60)
"""An idle worker shows itself more often than this; its registration outlives it by another minute."""

log = structlog.get_logger()


class BoxWorker(SimpleWorker):
    """An RQ worker on one queue, so that a job cannot be lost between two lists.

    It does not fork for each job: a job empties a whole box, and what a handler breaks stays in a savepoint.
    """

    max_connection_wait_time = 5.0
    log_result_lifespan = False


@dataclass(frozen=True)
class Crew:
    """So many processes for each box. Each box has its own, so that a slow channel holds up no booking.

    Attributes:
        redis_url: the queue's Redis.
        boxes: what to work at.
        processes: how many for each box.
    """

    redis_url: str
    boxes: tuple[Box, ...]
    processes: int

    def work(self) -> None:
        """Starts all, restarts who dies, and ends when asked to: each finishes its job first."""
        stop = Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        crew = {index: self._start(box) for index, box in enumerate(self.boxes * self.processes)}
        while not stop.wait(REST_BEFORE_RESTART.total_seconds()):
            for index, process in crew.items():
                if not process.is_alive():
                    box = (self.boxes * self.processes)[index]
                    log.warning("worker.died", box=box, exit_code=process.exitcode)
                    crew[index] = self._start(box)
        for process in crew.values():
            process.terminate()
        for process in crew.values():
            process.join()

    def _start(self, box: Box) -> BaseProcess:
        process = multiprocessing.get_context("fork").Process(target=work_at, args=(self.redis_url, box))
        process.start()
        return process


def work_at(redis_url: str, box: Box) -> None:
    """One worker, until it is asked to stop."""
    try:
        boxes = Bell(queue.connect(redis_url)).queue(box)
        BoxWorker(
            [boxes],
            connection=boxes.connection,
            serializer=JSONSerializer,
            worker_ttl=int(WORKER_TTL.total_seconds()),
            maintenance_interval=int(MAINTENANCE_EVERY.total_seconds()),
            log_job_description=False,
        ).work(with_scheduler=True, logging_level="WARNING")
    except RedisError as error:
        log.error("redis.away", box=box, error=type(error).__name__)
