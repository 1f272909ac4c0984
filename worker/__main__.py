"""`python -m worker`: the worker processes, with the options that they need."""

import argparse

from runtime import logs
from runtime.belongings import leave_behind
from runtime.metrics_server import exposition
from runtime.queue import QUEUES
from worker.pool import WorkerPool
from worker.services import build_services
from worker.settings import WorkerSettings
from worker.start import exit_on_bad_setting


def main() -> None:
    """Checks the settings first, so that a missing one is a sentence and not a traceback of each process."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Turns deliveries into bookings and news.")
    parser.add_argument("boxes", nargs="*", metavar="BOX", help="inbox, outbox (both)", default=list(QUEUES))
    parser.add_argument("-n", type=int, default=1, metavar="N", help="processes for each box (1)", dest="processes")
    arguments = parser.parse_args()
    unknown = set(arguments.boxes) - set(QUEUES)
    if unknown or arguments.processes < 1:
        parser.error("a BOX is inbox or outbox, and N at least 1")
    logs.configure()
    settings = WorkerSettings.load()
    if not settings.confirms:
        leave_behind("MEETERGO_API_KEY")
    settings.vault().warn_if_it_seals_nothing()
    with exposition(settings, "worker") as exposed:
        exit_on_bad_setting(lambda: build_services(settings)).database.close()
        WorkerPool(settings.redis, tuple(dict.fromkeys(arguments.boxes)), arguments.processes, exposed).work()


if __name__ == "__main__":
    main()
