"""The machine: who may run on which core, what it is, and how much its speed wavers."""

import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER, LOAD = CORES[0], CORES[-1]
"""One core for what is measured, one for who measures."""
PROBE_ROUNDS = 2_000


@contextmanager
def on(*cores: int) -> Iterator[None]:
    """Everything that is started meanwhile runs on these cores, and stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, *cores: int) -> None:
    """A process that runs, its threads and the processes that it started go on on these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
    for child in children(pid):
        with suppress(OSError):  # it ended meanwhile
            move(child, *cores)


def children(pid: int) -> list[int]:
    """Whom a process started, by any of its threads, oldest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended meanwhile
            found += map(int, task.read_text().split())
    return sorted(found)


def family(pid: int) -> list[int]:
    """A process and all that it started, and what those started."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def probe() -> float:
    """How long a fixed piece of work takes now, in milliseconds. It has nothing to do with what is measured."""
    block = bytes(16 * 1024)
    started = time.perf_counter()
    for _ in range(PROBE_ROUNDS):
        sha256(block).digest()
    return (time.perf_counter() - started) * 1000


def noise(probes: Sequence[float]) -> float:
    """How much the machine's own speed wavered: the spread of the middle half of all probes, as a share."""
    low, middle, high = statistics.quantiles(probes, n=4)
    return (high - low) / middle


def describe() -> dict[str, str]:
    """What it is."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(len(CORES)),
        "memory": f"{memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
    }


def memory_bytes() -> int:
    """How much it has."""
    return int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024


def _field(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
