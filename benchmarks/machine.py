"""The machine: pinning to cores, its description, and how much its speed varies."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER, LOAD = CORES[0], CORES[-1]
"""One core for the system under test, one for the load generator."""
PROBE_ROUNDS = 2_000


@contextmanager
def on(*cores: int) -> Iterator[None]:
    """Everything started meanwhile runs on these cores, and stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, *cores: int) -> None:
    """Move a process, its threads and its children to these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
    for child in children(pid):
        with suppress(OSError):  # it ended meanwhile
            move(child, *cores)


def children(pid: int) -> list[int]:
    """Return the children of a process, started by any of its threads, oldest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended meanwhile
            found += map(int, task.read_text().split())
    return sorted(found)


def family(pid: int) -> list[int]:
    """Return a process with all its descendants."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def probe() -> float:
    """Return how long a fixed piece of work takes now, in milliseconds, independent of the system under test."""
    block = bytes(16 * 1024)
    started = time.perf_counter()
    for _ in range(PROBE_ROUNDS):
        sha256(block).digest()
    return (time.perf_counter() - started) * 1000


def noise(probes: Sequence[float]) -> float:
    """Return the variation of the machine's speed: the interquartile range of all probes, as a share."""
    low, middle, high = statistics.quantiles(probes, n=4)
    return (high - low) / middle


def describe() -> dict[str, str]:
    """Describe the machine."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(len(CORES)),
        "memory": f"{memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version() + (" of the system" if sys.base_prefix == "/usr" else ""),
    }


def memory_bytes() -> int:
    """Return its memory."""
    return int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024


def _field(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
