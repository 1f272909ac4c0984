"""Commands: how long `bin/inbox` takes to start and show something, and what it spends that time on."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import machine
from benchmarks.bodies import BODY_KEY
from benchmarks.promises import Promise
from benchmarks.rounds import Rounds, packed, unpacked
from benchmarks.running import environment
from benchmarks.stores import KINDS, NAMES, Kind, Stores
from benchmarks.worker.setups import OURS

COMMANDS = ("--help", "deliveries list", "bookings list", "status", "replay --dead --dry-run")
DEMO = "make demo"
MAX_SECONDS, MAX_DEMO_SECONDS = 0.4, 8.0
FORM = "{:.2f} s"
RUNS, RUNS_QUICK = 7, 1
"""Times in a row that a command runs in each round; the fastest counts, since others disturb only the slower ones."""
LARGEST = 8
"""Packages named of those that a command imports."""
IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")
"""A line of `python -X importtime`: microseconds of the module alone, and its package."""

INTRODUCTION = f"""\
From the start of a process to its end, in seconds: the fastest of {RUNS} runs in a row, on one core. The database is
empty, so this is what a command takes before it has anything to do, most of it for imports.
"""

LIMITS = """\
SQLAlchemy, our mapped classes and the driver limit it: half of what `status` imports. Tried and left out: settings
without pydantic (12 to 18% fewer instructions, for a copy of a library), and ending the process without tearing the
interpreter down (1 to 3%).
"""


def measure(stores: Stores, rounds: Rounds, *, quick: bool) -> dict[str, Any]:
    """Run each command on each database, alternately, and the demo; then trace the imports of `status`."""
    with machine.on(machine.SERVER), stores.on(machine.SERVER), TemporaryDirectory(dir=stores.folder) as name:
        folder, runs = Path(name), RUNS_QUICK if quick else RUNS
        environments = {kind: _environment(stores, kind) for kind in KINDS}
        setups: dict[str, Callable[[], Mapping[str, float]]] = {
            f"{command}, {kind}": partial(_fastest, runs, command, folder, environments[kind])
            for kind in KINDS
            for command in COMMANDS
        }
        results = packed(rounds.alternate(setups))
        imports = {kind: _imports("status", folder, environments[kind]) for kind in KINDS}
    with machine.on(*machine.CORES), TemporaryDirectory(dir=stores.folder) as name:
        demo = rounds.alternate({DEMO: partial(_fastest, 1, "demo", Path(name), environment({}))})
    return {"commands": results | packed(demo), "imports": imports}


def _environment(stores: Stores, kind: Kind) -> dict[str, str]:
    settings = dict(DATABASE_URL=stores.database(kind), REDIS_URL=stores.redis_url, BODY_KEYS=BODY_KEY)
    return environment(settings | {"WEBHOOK_KEYS": "benchmark-" * 4})


def _fastest(runs: int, command: str, folder: Path, env: Mapping[str, str]) -> Mapping[str, float]:
    return {"seconds": min(_seconds(command, folder, env) for _ in range(runs))}


def _seconds(command: str, folder: Path, env: Mapping[str, str]) -> float:
    started = time.perf_counter()
    _run([], command, folder, env)
    return time.perf_counter() - started


def _run(options: Sequence[str], command: str, folder: Path, env: Mapping[str, str]) -> str:
    """Run a command; return what it wrote to standard error. `status` exits with 1 here: no worker runs."""
    command_line = [str(OURS), *options, "-m", "console", *command.split()]
    done = subprocess.run(command_line, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-200:]}")
    return done.stderr


def _imports(command: str, folder: Path, env: Mapping[str, str]) -> dict[str, float]:
    """Return package -> its share of the time of all imports, of the largest ones."""
    microseconds = Counter[str]()
    for line in _run(["-X", "importtime"], command, folder, env).splitlines():
        if found := IMPORT.match(line):
            microseconds[found[2]] += int(found[1])
    return {package: each / microseconds.total() for package, each in microseconds.most_common(LARGEST)}


def show(results: Mapping[str, Any]) -> str:
    """Render Markdown."""
    return "\n".join(["## Commands", "", INTRODUCTION, *_rows(results)])


def _rows(results: Mapping[str, Any]) -> Iterator[str]:
    yield f"| `bin/inbox` | {' | '.join(NAMES[kind] for kind in KINDS)} |"
    yield "|---|---:|---:|"
    figures = unpacked(results["commands"])
    for command in COMMANDS:
        medians = (figures[f"{command}, {kind}"]["seconds"].median for kind in KINDS)
        yield f"| `{command}` | {' | '.join(f'{each:.2f}' for each in medians)} |"
    yield ""
    yield "What `status` imports, as shares of the time of all of its imports:"
    yield ""
    for kind in KINDS:
        shares = ", ".join(f"{package} {share:.0%}" for package, share in results["imports"][kind].items())
        yield f"- {NAMES[kind]}: {shares}."
    yield ""
    yield LIMITS


def promises(results: Mapping[str, Any]) -> list[Promise]:
    """Return the targets: the start of each command on each database, and the demo."""
    figures = {name: each["seconds"] for name, each in unpacked(results["commands"]).items()}
    starts = [
        Promise.at_most(f"`bin/inbox {command}`, {NAMES[kind]}", MAX_SECONDS, figures.get(f"{command}, {kind}"), FORM)
        for command in COMMANDS
        for kind in KINDS
    ]
    return [*starts, Promise.at_most(f"`{DEMO}`, installed", MAX_DEMO_SECONDS, figures.get(DEMO), FORM)]
