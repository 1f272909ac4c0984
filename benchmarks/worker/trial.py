"""One trial: a fresh database with a backlog, one setup, and its rate."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine, memory
from benchmarks.running import environment, log_tail, node, plain, running
from benchmarks.stores import Kind, Stores
from benchmarks.worker import result_check
from benchmarks.worker.result_check import ResultMismatch
from benchmarks.worker.setups import OURS, WorkerSetup
from runtime.database import Database

POLL_INTERVAL_SECONDS = 0.05
POLL_COST_FACTOR = 20
"""Polling costs CPU: at most this part of the time."""
WARM_UP = 0.1
"""This share of the work counts as start-up."""
STALLED_AFTER_SECONDS = 30.0


class RunFailed(Exception):
    """A setup did not do the work; the message holds the end of its log."""


@dataclass(frozen=True)
class WorkerTrial:
    """What all trials have in common.

    Attributes:
        stores: the servers.
        kind: of database.
        bodies: what the deliveries say; a setup gets the first of them.
    """

    stores: Stores
    kind: Kind
    bodies: Sequence[bytes]

    def run(self, setup: WorkerSetup, count: int) -> dict[str, float]:
        """Process N deliveries.

        Returns:
            Deliveries per second; the memory of the setup's processes after it, in MiB.

        Raises:
            Failed: it did not, or not rightly.
        """
        bodies, url = self.bodies[:count], self.stores.database(self.kind)
        cores = machine.CORES[: setup.cores]
        self.stores.empty_redis()
        try:
            with ExitStack() as stack:
                database = stack.enter_context(closing(Database(url, schema=setup.schema)))
                folder = Path(stack.enter_context(TemporaryDirectory(dir=self.stores.folder)))
                ids = [] if setup.is_script else result_check.fill(database, bodies, is_encrypted=setup.is_encrypted)
                if len(cores) < len(machine.CORES):
                    stack.enter_context(self.stores.on(*cores))
                    stack.enter_context(machine.on(*cores))
                return self._work(setup, folder, database, url, ids, bodies)
        finally:
            self.stores.drop(url)

    def environment(self, url: str, setup: WorkerSetup) -> dict[str, str]:
        """Return the environment of a setup's processes."""
        database_url = plain(url) if setup.is_script else url
        stores = {"DATABASE_URL": database_url, "REDIS_URL": self.stores.redis_url, "NOTIFY_DEFAULT": "log:"}
        return environment({**stores, **setup.settings(self.kind)})

    def _work(
        self,
        setup: WorkerSetup,
        folder: Path,
        database: Database,
        url: str,
        ids: Sequence[str],
        bodies: Sequence[bytes],
    ) -> dict[str, float]:
        env = self.environment(url, setup)
        try:
            enqueue(setup, folder, env, bodies if setup.is_script else ids)
            with running(setup.command_line(self.kind), folder, env, setup.copies) as pids:
                rate = watch(database, len(bodies))
                held = sum(map(memory.of_family, pids))
            result_check.check(database, bodies, in_order=setup.in_order)
        except (ResultMismatch, Stalled) as error:
            raise RunFailed(f"{error}\n{log_tail(folder)}") from error
        return {"rate": rate, "memory": held}


class Stalled(Exception):
    """Nothing was completed for a while."""


def enqueue(setup: WorkerSetup, folder: Path, env: Mapping[str, str], jobs: Sequence[str] | Sequence[bytes]) -> None:
    """Enqueue all jobs of a setup, before it starts.

    Args:
        setup: what runs.
        folder: where.
        env: its environment.
        jobs: ids of deliveries; the bodies if it is a script.

    Raises:
        Failed: that did not work.
    """
    if setup.enqueues is None:
        return
    if setup.is_script:
        command_line = node(f"{setup.command} {setup.enqueues}")
    else:
        python = str(setup.python if setup.python.exists() else OURS)
        command_line = [python, "-m", "benchmarks.worker.enqueue", setup.enqueues]
    lines = "\n".join(each.decode() if isinstance(each, bytes) else each for each in jobs)
    said = subprocess.run(
        command_line, input=lines, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    if said.returncode:
        raise RunFailed(f"its jobs could not be enqueued: {said.stderr[-1000:]}")


def watch(database: Database, count: int, every: float = POLL_INTERVAL_SECONDS) -> float:
    """Wait until N are done; poll at this interval, or less often if polling is slow.

    Returns:
        How many became done per second after the first tenth; of so few that nothing is seen of them, from the start.

    Raises:
        Stalled: nothing becomes done.
    """
    began, first = time.perf_counter(), 0
    seen, seen_at = 0, began
    while seen < count:
        looked_at = time.perf_counter()
        now_done = result_check.done(database)
        cost = time.perf_counter() - looked_at
        if now_done > seen:
            seen, seen_at = now_done, looked_at + cost
            if first == 0 and count > seen >= WARM_UP * count:
                began, first = seen_at, seen
        elif looked_at - seen_at > STALLED_AFTER_SECONDS:
            raise Stalled(f"{seen} of {count} deliveries were done, and for half a minute no more")
        time.sleep(max(every, cost * POLL_COST_FACTOR))
    return (count - first) / (seen_at - began)
