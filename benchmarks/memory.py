"""Memory of processes, as the kernel counts it."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine

KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Memory:
    """Memory in MiB.

    Attributes:
        pss: the process's own, and its share of what it shares with others: these can be added.
        rss: all that it has in memory, shared or not.
    """

    pss: float
    rss: float


def of(pid: int) -> Memory:
    """Return the memory of one process.

    Raises:
        OSError: it has ended.
    """
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kib = {command_line[0]: int(command_line[1]) for command_line in lines}
    return Memory(kib["Pss:"] / KIB_PER_MIB, kib["Rss:"] / KIB_PER_MIB)


def of_family(pid: int) -> float:
    """Return the total PSS of processes, in MiB. Processes that end meanwhile count nothing."""
    return sum(_pss(each) for each in machine.family(pid))


def _pss(pid: int) -> float:
    try:
        return of(pid).pss
    except OSError:
        return 0.0
