"""The setups: what each starts, its number of deliveries, and the reasons for its configuration."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bodies import BODY_KEY
from benchmarks.running import ROOT, node
from benchmarks.stores import KINDS, Kind
from runtime.database_url import DEFAULT_SCHEMA

OURS = Path(sys.executable)
OLDER_REDIS = ROOT / "benchmarks" / ".venv-redis5" / "bin" / "python"
PEERS = "benchmarks.worker.peers"
SMALLEST_COUNT, PEER_COUNT = 20, 300
QUICK_DIVISOR = 25
"""A smoke run processes one Nth."""

QUIET_CELERY = "--without-gossip --without-mingle --without-heartbeat --loglevel WARNING"
HUEY = f"huey.bin.huey_consumer {PEERS}.with_huey.huey --no-periodic --quiet"
TASKIQ = f"taskiq worker {PEERS}.with_taskiq:broker --log-level WARNING"


@dataclass(frozen=True)
class WorkerSetup:
    """A system that processes deliveries.

    Attributes:
        label: in the tables.
        count: deliveries of one run, so that it takes some seconds.
        command: what is started, without `python -m`, or a script of node; by database where that makes a difference.
        why: how it is configured, and why so.
        tried: what other configurations gave, deliveries per second on PostgreSQL / on SQLite, in one trial run.
        enqueues: the module that enqueues its jobs, if there are any; of a script, its argument.
        python: that starts it.
        copies: so often is the command started.
        concurrency: jobs at once in each process, where the command does not say it.
        hook: its PLATFORM_HOOK.
        in_order: whether it handles deliveries in the order in which they came, so that each is a change.
        counts_as_peer: whether it is one of the other systems whose best is compared with ours.
        kinds: databases that it runs on.
        schema: where its tables are, on PostgreSQL; a script makes them itself.
        is_encrypted: whether bodies are encrypted.
        cores: how many it runs on, with the stores.
    """

    label: str
    count: int
    command: str | Mapping[Kind, str]
    why: str
    enqueues: str | None = None
    python: Path = OURS
    copies: int = 1
    concurrency: Mapping[Kind, int] = field(default_factory=dict)
    hook: str = ""
    in_order: bool = False
    tried: str = ""
    counts_as_peer: bool = False
    kinds: Sequence[Kind] = KINDS
    schema: str = DEFAULT_SCHEMA
    is_encrypted: bool = True
    cores: int = 2

    @property
    def is_script(self) -> bool:
        """Whether it runs in node, on tables and jobs of its own."""
        return self.schema != DEFAULT_SCHEMA

    def command_line(self, kind: Kind) -> list[str]:
        """Return the command for this database.

        Raises:
            NotInstalled: it is not on this machine.
        """
        command = self.command if isinstance(self.command, str) else self.command[kind]
        return node(command) if self.is_script else [str(self.python), "-m", *command.split()]

    def settings(self, kind: Kind) -> dict[str, str]:
        """Return the environment of its processes, beside the stores."""
        concurrency = {"CONCURRENCY": str(self.concurrency[kind])} if self.concurrency else {}
        keys = {"BODY_KEYS": BODY_KEY} if self.is_encrypted else {}
        return concurrency | keys | ({"PLATFORM_HOOK": self.hook} if self.hook else {})

    def deliveries(self, *, quick: bool) -> int:
        """Return its number of deliveries."""
        return max(SMALLEST_COUNT, self.count // QUICK_DIVISOR) if quick else self.count


LOOP, ONE, HOOKED, TWO, FORK, SIMPLE = "loop", "ours", "ours, hook", "ours, two", "rq fork", "rq simple"
PLAIN, ALONE, BULLMQ = "ours, plain text", "ours, one core", "bullmq"

SETUPS: dict[str, WorkerSetup] = {
    LOOP: WorkerSetup(
        "a plain loop, no queue",
        8_000,
        "benchmarks.worker.plain_loop",
        "one process: takes 200 due rows, `process`, commit, and again; the 100 % mark",
        in_order=True,
    ),
    ONE: WorkerSetup(
        "**ours**, one process",
        8_000,
        "worker inbox",
        "`python -m worker inbox`",
        f"{PEERS}.ours",
        in_order=True,
    ),
    HOOKED: WorkerSetup(
        "**ours**, one process with a hook",
        4_000,
        "worker inbox",
        "the same with a `PLATFORM_HOOK` that updates a row of the platform for each change",
        f"{PEERS}.ours",
        hook="benchmarks.worker.hook:changed",
        in_order=True,
    ),
    TWO: WorkerSetup(
        "**ours**, two processes",
        8_000,
        "worker inbox -n 2",
        "`python -m worker inbox -n 2`",
        f"{PEERS}.ours",
    ),
    PLAIN: WorkerSetup(
        "**ours**, one process, bodies in plain text",
        8_000,
        "worker inbox",
        "the same as one process, without `BODY_KEYS`",
        f"{PEERS}.ours",
        in_order=True,
        is_encrypted=False,
    ),
    ALONE: WorkerSetup(
        "**ours**, one process on one core",
        8_000,
        "worker inbox",
        "the same as one process, on one core that it shares with the stores: two processes have twice as much of both",
        f"{PEERS}.ours",
        in_order=True,
        kinds=("postgresql",),
        cores=1,
    ),
    BULLMQ: WorkerSetup(
        "BullMQ",
        8_000,
        "bullmq_worker.js",
        "one node process, 20 jobs at once and as many connections; one transaction for each job, written by hand, "
        "with six prepared statements, on tables with fewer indexes than ours; each job holds its body, not encrypted",
        "enqueue",
        schema="platform",
        kinds=("postgresql",),
        is_encrypted=False,
    ),
    FORK: WorkerSetup(
        "RQ, `rq worker`",
        40,
        f"{PEERS}.with_rq fork",
        "one process, the stock worker that forks for each job; the application is imported before the fork",
        f"{PEERS}.with_rq",
        in_order=True,
    ),
    SIMPLE: WorkerSetup(
        "RQ, `SimpleWorker`",
        120,
        f"{PEERS}.with_rq simple",
        "one process, no fork",
        f"{PEERS}.with_rq",
        in_order=True,
    ),
    "celery": WorkerSetup(
        "Celery",
        PEER_COUNT,
        f"celery -A {PEERS}.with_celery worker --pool prefork --concurrency 2 --prefetch-multiplier 64 {QUIET_CELERY}",
        "two prefork processes, prefetch 64 as its documentation advises for short tasks, results ignored",
        f"{PEERS}.with_celery",
        tried="prefork 2 prefetch 64: 252/196, prefetch 4: 215/241; prefork 4: 260/171; four threads: 147/194",
        counts_as_peer=True,
    ),
    "dramatiq": WorkerSetup(
        "Dramatiq",
        PEER_COUNT,
        f"dramatiq {PEERS}.with_dramatiq --processes 2 --threads 2",
        "two processes with two threads each",
        f"{PEERS}.with_dramatiq",
        tried="threads in each process, 1: 189/214, 2: 286/234, 4: 249/202, 8: 229/190",
        counts_as_peer=True,
    ),
    "huey": WorkerSetup(
        "Huey",
        PEER_COUNT,
        f"{HUEY} --workers 2 --worker-type process",
        "two worker processes, as its documentation advises for work that takes processor; blocking reads, no results",
        f"{PEERS}.with_huey",
        tried="processes, 2: 277/230, 3: 257/203, 4: 270/lost a job; four threads: 139/184",
        counts_as_peer=True,
    ),
    "saq": WorkerSetup(
        "SAQ",
        PEER_COUNT,
        f"saq {PEERS}.with_saq.settings --workers 2",
        "two processes, ten jobs at once in each (its default), in threads; on SQLite one",
        f"{PEERS}.with_saq",
        tried="jobs at once in each process, 1: 141/162, 2: 223/139, 4: 212/123, 10: 251/lost jobs",
        python=OLDER_REDIS,
        concurrency={"postgresql": 10, "sqlite": 1},
        counts_as_peer=True,
    ),
    "arq": WorkerSetup(
        "arq",
        PEER_COUNT,
        f"arq {PEERS}.with_arq.WorkerSettings",
        "two processes, four jobs at once in each, in threads; looks for jobs each 10 ms instead of each half second",
        f"{PEERS}.with_arq",
        tried="jobs at once in each process, 1: 94/108, 2: 153/115, 4: 165/121; its default poll: 77/55",
        python=OLDER_REDIS,
        copies=2,
        concurrency={"postgresql": 4, "sqlite": 4},
        counts_as_peer=True,
    ),
    "procrastinate": WorkerSetup(
        "Procrastinate",
        PEER_COUNT,
        f"procrastinate --app {PEERS}.with_procrastinate.app worker --concurrency 4 --delete-jobs successful",
        "two processes, four jobs at once in each, in threads; jobs are rows of the same PostgreSQL, deleted when done",
        f"{PEERS}.with_procrastinate",
        copies=2,
        kinds=("postgresql",),
        counts_as_peer=True,
    ),
    "taskiq": WorkerSetup(
        "taskiq",
        PEER_COUNT,
        {
            "postgresql": f"{TASKIQ} --workers 2 --max-threadpool-threads 4 --max-async-tasks 4",
            "sqlite": f"{TASKIQ} --workers 2 --max-threadpool-threads 4",
        },
        "two processes with four threads each, a Redis list; four jobs at once in each, on SQLite as many as it likes",
        f"{PEERS}.with_taskiq",
        tried="threads and jobs in each process, 1: 126/174, 2: 152/149, 4: 308/149; four threads, jobs unset: 220/195",
        counts_as_peer=True,
    ),
}
