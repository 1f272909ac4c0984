"""`python -m benchmarks.versions COMMIT`: this version beside an earlier one, in alternation on the same stores.

Both run as their own Procfile starts them, each from its own folder and with the packages that it requires. They are
given the same deliveries: first the receiver alone, as fast as it answers, then the worker of each queue alone, until
it has nothing left.
"""

import argparse
import shlex
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from honcho.environ import parse_procfile

from benchmarks import load, machine, processor
from benchmarks.bodies import BODY_KEY, bodies, host_ids
from benchmarks.rounds import Rounds
from benchmarks.running import ROOT, environment, running
from benchmarks.service import CHANNEL, KEY, PATH, DatabaseReader, open_reader
from benchmarks.stores import KINDS, NAMES, Kind, Stores, stores
from devtools.processes import wait_until_ready
from devtools.redis_server import free_port

CONNECTIONS = 64
WARM_UP_SHARE = 0.2
"""Share of the deliveries that is not counted: the first ones."""
POLL_INTERVAL_SECONDS = 0.02
TIMEOUT_SECONDS = 300.0
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement")


@dataclass(frozen=True)
class Version:
    """A checked-out version of this service, and the stores that it is to use.

    Attributes:
        root: its folder.
        python: the Python that has its packages.
        logs: where its processes print.
        settings: environment of its processes.
    """

    root: Path
    python: Path
    logs: Path
    settings: Mapping[str, str]

    def run(self, name: str) -> None:
        """Run a command of its Procfile that ends by itself."""
        done = subprocess.run(
            self._command(name), cwd=self.root, env=self._environment(), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr.strip()[-2000:]}")

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[int]:
        """Run a command of its Procfile with arguments until the block ends; yield the process id."""
        self.logs.mkdir(exist_ok=True)
        with (
            machine.on(machine.SERVER),
            running([*self._command(name), *arguments], self.logs, self._environment()) as (pid,),
        ):
            yield pid

    def _command(self, name: str) -> list[str]:
        program, *arguments = shlex.split(parse_procfile((self.root / "Procfile").read_text()).processes[name])
        return [str(self.python) if program == "python" else program, *arguments]

    def _environment(self) -> dict[str, str]:
        return environment({**self.settings, "PYTHONPATH": str(self.root)})


def measure(root: Path, python: Path, kind: Kind, servers: Stores, count: int) -> dict[str, float]:
    """Measure a version on an empty database.

    Returns:
        Deliveries (or notifications) per second of the receiver and of the worker of each queue, and the time of the
        processor that each takes, with its PostgreSQL backends, in µs.
    """
    url, port = servers.database(kind, migrated=False), free_port()
    stores_settings = {"DATABASE_URL": url, "REDIS_URL": servers.redis_url}
    keys = {"WEBHOOK_KEYS": KEY, "BODY_KEYS": BODY_KEY}
    own = {"HOST": "127.0.0.1", "PORT": str(port), "NOTIFY_DEFAULT": CHANNEL}
    servers.empty_redis()
    with TemporaryDirectory() as name:
        version = Version(root, python, Path(name), {**stores_settings, **keys, **own})
        version.run("release")
        try:
            with open_reader(url) as reader:
                _add_hosts(reader)
                receiver = _measure_receiver(version, port, reader, count)
                inbox = _measure_worker(version, reader, "inbox", "deliveries")
                return {**receiver, **inbox, **_measure_worker(version, reader, "outbox", "notifications")}
        finally:
            servers.drop(url)


def _measure_receiver(version: Version, port: int, reader: DatabaseReader, count: int) -> dict[str, float]:
    sent = bodies("versions", count)
    first = int(count * WARM_UP_SHARE)
    with version.running("web") as pid:
        wait_until_ready(f"http://127.0.0.1:{port}", version.logs / "0.log")
        send = partial(load.send, load.here(port), connections=CONNECTIONS)
        with machine.on(machine.LOAD):
            send(load.requests(sent[:first], PATH))
            began = _processor_seconds(pid, reader)
            measurement = send(load.requests(sent[first:], PATH))
        spent = _processor_seconds(pid, reader) - began
    if set(measurement.statuses) != {200} or reader.number("SELECT count(*) FROM deliveries") != count:
        raise RuntimeError(f"answers were {dict(measurement.statuses)}, or a delivery is not stored")
    return {"receiver": measurement.rate, "receiver µs": spent / (count - first) * 1e6}


def _measure_worker(version: Version, reader: DatabaseReader, queue: str, table: str) -> dict[str, float]:
    count = reader.pending(table)
    with version.running("worker", queue) as pid:
        _wait_until_at_most(reader, table, int(count * (1 - WARM_UP_SHARE)))
        began, before, spent_before = time.monotonic(), reader.pending(table), _processor_seconds(pid, reader)
        _wait_until_at_most(reader, table, 0)
        seconds, spent = time.monotonic() - began, _processor_seconds(pid, reader) - spent_before
    if reader.number(f"SELECT count(*) FROM {table} WHERE status = 'dead'"):  # noqa: S608 - names of ours
        raise RuntimeError(f"not all {table} are done")
    return {queue: before / seconds, f"{queue} µs": spent / before * 1e6}


def _wait_until_at_most(reader: DatabaseReader, table: str, pending: int) -> None:
    until = time.monotonic() + TIMEOUT_SECONDS
    while reader.pending(table) > pending:
        if time.monotonic() > until:
            raise RuntimeError(f"{reader.pending(table)} {table} still wait")
        time.sleep(POLL_INTERVAL_SECONDS)


def _processor_seconds(pid: int, reader: DatabaseReader) -> float:
    return processor.seconds([*machine.family(pid), *reader.backend_pids()])


def _add_hosts(reader: DatabaseReader) -> None:
    values = ", ".join(f"('{host}', '{host}', '{host}@example.com', '{host}/')" for host in host_ids())
    columns = "external_id, meetergo_user_id, email, linked_as"
    reader.rows(f"INSERT INTO platform_users ({columns}) VALUES {values} RETURNING id")  # noqa: S608 - no input


@contextmanager
def checked_out(commit: str) -> Iterator[tuple[Path, Path]]:
    """Check a commit out in a temporary folder, with an environment of the packages that it requires.

    Yields:
        The folder, and the environment's Python.
    """
    with TemporaryDirectory(prefix="version-") as name:
        root, packages = Path(name) / "version", Path(name) / "venv"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", root, commit], cwd=ROOT, check=True)  # noqa: S607
        try:
            venv.create(packages, with_pip=True)
            python = packages / "bin/python"
            subprocess.run([python, *INSTALL, root / "requirements.txt"], check=True)
            yield root, python
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", root], cwd=ROOT, check=True)  # noqa: S607


def main() -> None:
    """Measure, and print how many times as fast this version is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("commit", help="the earlier version: any name that git knows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=8_000, help="deliveries in each measurement (%(default)s)")
    parser.add_argument("--on", choices=KINDS, action="append", help="only on this database (both)")
    options = parser.parse_args()
    with machine.on(machine.SERVER), stores() as servers, checked_out(options.commit) as earlier:
        versions = {options.commit: earlier, "this version": (ROOT, Path(sys.executable))}
        for kind in options.on or KINDS:
            _compare(kind, servers, versions, options)


def _compare(
    kind: Kind, servers: Stores, versions: Mapping[str, tuple[Path, Path]], options: argparse.Namespace
) -> None:
    print(f"{NAMES[kind]}:", flush=True)
    rounds = Rounds(options.rounds)
    setups = {name: partial(measure, *version, kind, servers, options.count) for name, version in versions.items()}
    figures = rounds.alternate(setups)
    if rounds.failures:
        sys.exit(f"no comparison: {rounds.failures}")
    earlier, this = figures.values()
    for name in this:
        ratio = this[name].over(earlier[name])
        print(f"  {name}: {ratio.median:.2f} x ({min(ratio.values):.2f} to {max(ratio.values):.2f})")


if __name__ == "__main__":
    main()
