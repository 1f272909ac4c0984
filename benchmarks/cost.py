"""Cost: the memory of each process, idle, under load and during a long backlog."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from benchmarks import cost_report, machine, memory
from benchmarks.bodies import BODY_KEY, bodies
from benchmarks.hosts import database_with_hosts
from benchmarks.load import here, requests, send
from benchmarks.memory import Memory
from benchmarks.rounds import Rounds
from benchmarks.running import environment, running
from benchmarks.stores import KINDS, Kind, Stores
from benchmarks.worker import result_check
from benchmarks.worker.setups import ONE, OURS, SETUPS
from benchmarks.worker.trial import RunFailed, WorkerTrial, enqueue, watch
from devtools.processes import wait_until_ready
from devtools.redis_server import free_port
from operations import text
from runtime.database import Database
from runtime.signed_address import AddressSigner

KEY = "benchmark-" * 4
LINES = 8
SAMPLE_EVERY_SECONDS = 0.5
SETTLED_AFTER_SECONDS = 3.0
ALL_TASKS_RAN_AFTER_SECONDS = 20.0
"""By then each of the scheduler's tasks has run, those of every 15 seconds twice."""
DELIVERIES, QUICK_DELIVERIES = 5_000, 200
BACKLOG, QUICK_BACKLOG = 100_000, 1_000
WORKER_CHILDREN = ("worker: inbox", "worker: outbox")
"""The children of `python -m worker`, in the order in which it starts them."""

Pids = dict[str, int]

show, promises = cost_report.show, cost_report.promises


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Memory does not fluctuate like time: each figure is measured once."""
    with machine.on(*machine.CORES), stores.on(*machine.CORES):
        return {
            "processes": {
                kind: _all_processes(stores, kind, QUICK_DELIVERIES if quick else DELIVERIES) for kind in KINDS
            },
            "all_in_one": {kind: _all_in_one(stores, kind) for kind in KINDS},
            "backlog": {kind: _backlog(stores, kind, QUICK_BACKLOG if quick else BACKLOG) for kind in KINDS},
            "counted": _counted(),
        }


def _counted() -> dict[str, dict[str, tuple[int, int, int]]]:
    """Return place -> case -> statements, commits, round trips to Redis, as pinned by the tests."""
    receiver, worker = import_module("tests.receiver.test_cost"), import_module("tests.worker.test_cost")
    notifications = {text.count(number, "notification"): cost for number, cost in worker.OUTBOX_COST.items() if number}
    return {"receiver": receiver.COST, "worker": worker.COST, "outbox": notifications}


def _all_processes(stores: Stores, kind: Kind, count: int) -> dict[str, dict[str, list[float]]]:
    """Return name of a process -> when -> PSS and RSS in MiB."""
    sample, url = bodies("house", count), database_with_hosts(stores, kind)
    stores.empty_redis()
    try:
        with closing(Database(url)) as database, TemporaryDirectory(dir=stores.folder) as name:
            with _processes(Path(name), stores, url) as (port, pids):
                time.sleep(SETTLED_AFTER_SECONDS)
                idle = _memory_of(pids)
                with _sampled(lambda: _memory_of(pids)) as memory_samples:
                    _deliver(port, sample)
                    watch(database, count)
                    memory_samples.append(_memory_of(pids))
    finally:
        stores.drop(url)
    return {
        name: {
            "idle": _pair(idle[name]),
            "peak": _pair(max((sample_memory[name] for sample_memory in memory_samples), key=lambda each: each.pss)),
        }
        for name in pids
    }


@contextmanager
def _processes(folder: Path, stores: Stores, url: str) -> Iterator[tuple[int, Pids]]:
    """Run the Procfile's processes until the block ends."""
    port = free_port()
    env = environment(
        dict(
            DATABASE_URL=url,
            REDIS_URL=stores.redis_url,
            NOTIFY_DEFAULT="log:",
            WEBHOOK_KEYS=KEY,
            BODY_KEYS=BODY_KEY,
            HOST="127.0.0.1",
            PORT=str(port),
        )
    )
    with ExitStack() as stack:
        leaders = {}
        for module in ("receiver", "worker", "worker.scheduler"):
            (folder / module).mkdir()
            command_line = [str(OURS), "-m", module]
            [leaders[module]] = stack.enter_context(running(command_line, folder / module, env))
        wait_until_ready(f"http://127.0.0.1:{port}", folder / "receiver" / "0.log")
        children = _children(leaders["worker"], len(WORKER_CHILDREN))
        yield (
            port,
            {
                "receiver: main": leaders["receiver"],
                "receiver: serving": max(machine.children(leaders["receiver"]), key=lambda pid: memory.of(pid).rss),
                "worker: main": leaders["worker"],
                **dict(zip(WORKER_CHILDREN, children, strict=True)),
                "cron": leaders["worker.scheduler"],
            },
        )


def _all_in_one(stores: Stores, kind: Kind) -> float:
    """Return the PSS of `make run` when it is idle, in MiB: of all its processes and its Redis."""
    url, port = stores.database(kind), free_port()
    try:
        with TemporaryDirectory(dir=stores.folder) as name:
            env = environment(dict(DATABASE_URL=url, PORT=str(port), DASHBOARD_PORT=str(free_port())))
            with running([str(OURS), "-m", "console", "run"], Path(name), env) as [pid]:
                wait_until_ready(f"http://127.0.0.1:{port}", Path(name) / "0.log")
                time.sleep(ALL_TASKS_RAN_AFTER_SECONDS)
                return memory.of_family(pid)
    finally:
        stores.drop(url)


def _deliver(port: int, sample: list[bytes]) -> None:
    statuses = send(here(port), requests(sample, AddressSigner([KEY]).path("default")), LINES).statuses
    if statuses != {200: len(sample)}:
        raise RunFailed(f"not every delivery was accepted: {dict(statuses)}")


def _backlog(stores: Stores, kind: Kind, count: int) -> dict[str, Any]:
    """Return samples of the inbox worker during a backlog: [seconds, done, PSS, RSS], in MiB."""
    sample, url, setup = bodies("backlog", count), stores.database(kind), SETUPS[ONE]
    stores.empty_redis()
    try:
        with closing(Database(url)) as database, TemporaryDirectory(dir=stores.folder) as name:
            ids, folder = result_check.fill(database, sample), Path(name)
            trial = WorkerTrial(stores, kind, sample)
            env = trial.environment(url, setup)
            enqueue(setup, folder, env, ids)
            with running(setup.command_line(kind), folder, env) as [pid]:
                worker, began = _children(pid, 1)[0], time.perf_counter()

                def sample_memory() -> list[float]:
                    held = memory.of(worker)
                    return [time.perf_counter() - began, result_check.done(database), held.pss, held.rss]

                with _sampled(sample_memory) as samples:
                    watch(database, count, SAMPLE_EVERY_SECONDS)
                    samples.append(sample_memory())
            result_check.check(database, sample, in_order=True)
    finally:
        stores.drop(url)
    return {"count": count, "samples": samples}


def _children(pid: int, count: int) -> list[int]:
    """Return the first N children of a process, once they exist."""
    until = time.monotonic() + 30
    while len(found := machine.children(pid)) < count:
        if time.monotonic() > until:
            raise RunFailed(f"process {pid} has not started {count} others")
        time.sleep(0.01)
    return found[:count]


@contextmanager
def _sampled(sample_memory: Callable[[], Any]) -> Iterator[list[Any]]:
    """Sample twice a second, in a thread, until the block ends."""
    samples, over = [sample_memory()], Event()

    def sample() -> None:
        while not over.wait(SAMPLE_EVERY_SECONDS):
            samples.append(sample_memory())

    thread = Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _memory_of(pids: Mapping[str, int]) -> dict[str, Memory]:
    return {name: memory.of(pid) for name, pid in pids.items()}


def _pair(held: Memory) -> list[float]:
    return [held.pss, held.rss]
