"""`python -m worker`: the worker processes, with the options that they need."""

import argparse
from functools import partial

from runtime import logs
from runtime.http.metrics_server import open_metrics_server
from runtime.process.misspelt import warn_of_misspelt_settings
from runtime.process.reexec import reexec_without
from runtime.queue import QUEUES, JobQueue, QueueName
from runtime.redis import heartbeat
from runtime.tracing import switch as tracing
from worker.pool import WorkerPool
from worker.settings import WorkerSettings
from worker.start import open_services


def main() -> None:
    """Check the settings, then start the pool: a missing setting is one error message, not a traceback per process."""
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Turns deliveries into bookings and notifications."
    )
    parser.add_argument("queues", nargs="*", metavar="QUEUE", help="inbox, outbox (both)", default=list(QUEUES))
    parser.add_argument("-n", type=int, default=1, metavar="N", help="processes for each queue (1)", dest="processes")
    arguments = parser.parse_args()
    unknown = set(arguments.queues) - set(QUEUES)
    if unknown or arguments.processes < 1:
        parser.error("a QUEUE is inbox or outbox, and N at least 1")
    logs.configure()
    settings = WorkerSettings.load()
    if not settings.confirmation_mode:
        reexec_without("MEETERGO_API_KEY")
    tracing.check()
    settings.cipher().warn_if_unencrypted()
    warn_of_misspelt_settings()
    queues = tuple(dict.fromkeys(arguments.queues))
    with open_metrics_server(settings, "worker", partial(_is_alive, settings, queues)) as metrics_server:
        open_services(settings).database.close()
        WorkerPool(settings.redis, queues, arguments.processes, metrics_server).work()


def _is_alive(settings: WorkerSettings, queues: tuple[QueueName, ...]) -> bool:
    """Whether this machine has a live worker for each queue."""
    with settings.redis() as redis:
        job_queue = JobQueue(redis)
        return all(heartbeat.worker_alive(job_queue.queue(queue)) for queue in queues)


if __name__ == "__main__":
    main()
