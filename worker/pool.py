"""The worker pool: starts all worker processes of one machine and restarts those that die."""

import gc
import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess

import structlog

from runtime.http.metrics_server import MetricsServer
from runtime.process.preload import freeze_before_fork
from runtime.process.stop_signal import StopEvent
from runtime.queue import QueueName
from runtime.redis.client import InstallationRedis
from worker import identity
from worker.maintenance import recovery
from worker.maintenance.recovery import ExitedProcess
from worker.queue_worker import STOP_SIGNALS, run_worker

RESTART_DELAY = timedelta(seconds=1)
GC_THRESHOLD = 20_000
"""New objects between two garbage collections: more than a batch makes, nearly all of which live until its end. With
Python's own number, a twentieth of a worker's time is spent on looking through them."""

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerPool:
    """N workers for each queue, so that a slow channel holds up no booking.

    Attributes:
        redis: opens a connection; called in the process that uses it.
        queues: the queues to process.
        processes: number of workers for each queue.
        metrics_server: serves the workers' metrics; None if metrics are disabled.
    """

    redis: Callable[[], InstallationRedis]
    queues: tuple[QueueName, ...]
    processes: int
    metrics_server: MetricsServer | None = None

    def work(self) -> None:
        """Start all processes, restart those that die, and stop on a signal: each finishes its job first."""
        stop = StopEvent()
        for signum in STOP_SIGNALS:
            signal.signal(signum, lambda *_: stop.set())
        freeze_before_fork()
        gc.set_threshold(GC_THRESHOLD)
        targets = self._targets()
        running = {targets[0]: _start(targets[0], replaces=ExitedProcess())}
        running |= {target: _start(target) for target in targets[1:]}
        log.info("worker.started", queues=self.queues, processes=self.processes)
        while not stop.wait(RESTART_DELAY.total_seconds()):
            for target, process in running.items():
                if not process.is_alive():
                    log.warning("worker.died", pid=process.pid, exit_code=process.exitcode)
                    exited = ExitedProcess(process.name, process.exitcode != 0, process.pid)
                    running[target] = _start(target, replaces=exited)
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()

    def _targets(self) -> list[Callable[[], None]]:
        workers = [partial(run_worker, self.redis, queue) for queue in self.queues for _ in range(self.processes)]
        metrics = [self.metrics_server.serve] if self.metrics_server else []
        return [*workers, *metrics]


def _start(target: Callable[[], None], replaces: ExitedProcess | None = None) -> BaseProcess:
    name = identity.new_name()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(target, name, replaces), name=name)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until the fork has forgotten the pool's handlers
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _run(target: Callable[[], None], name: str, replaces: ExitedProcess | None) -> None:
    """Run a target. Claims of the dead process are released here, so that no fault of the stores affects the pool."""
    identity.set_name(name)
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    if replaces:
        recovery.recover_from_exit(replaces)
    target()
