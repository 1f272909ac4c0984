"""`python -m tests.faults`: inject every fault, one after the other, and write the results."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from random import Random

from tests.faults import databases, report, trial
from tests.faults.catalogue import BOTH, CATALOGUE, DatabaseName, Fault
from tests.faults.databases import Cluster, Postgresql, ReplicatedPostgresql, Sqlite, Store
from tests.faults.report import Row
from tests.faults.trial import Trial
from tests.faults.verdict import Verdict

DELIVERIES = 300


def main() -> int:
    """Return the exit code: 1 if a promise was broken."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    rows = _load(options.resume)
    skipped: list[str] = []
    with trial.folder() as folder, databases.cluster(folder) as cluster:
        for name in options.only or CATALOGUE:
            for database in CATALOGUE[name].databases:
                if database in (options.database or BOTH) and (name, database) not in _tried(rows):
                    _try(name, database, options, folder, cluster, rows, skipped)
    if not options.only and not options.database:
        order = list(CATALOGUE)
        report.write(sorted(rows, key=lambda row: order.index(row.name)), skipped, options.deliveries, options.seed)
    elif options.update:
        report.update(rows, list(CATALOGUE))
    return int(any(row.verdict.broken for row in rows))


def _try(
    name: str,
    database: DatabaseName,
    options: argparse.Namespace,
    folder: Path,
    cluster: Cluster,
    rows: list[Row],
    skipped: list[str],
) -> None:
    fault, place, started = CATALOGUE[name], folder / f"{name}-{database}", time.monotonic()
    place.mkdir()
    random = Random(f"{options.seed} {name} {database}")
    with closing(_open(fault, database, place, cluster)) as store:
        if fault.needs_disk and not store.can_fill:
            skipped.append(f"{fault.title}, since this process may not mount a disk")
            return
        verdict = Trial(fault, store, options.deliveries, random, place).run()
    if verdict.broken and options.logs:
        _keep_logs(place, options.logs / place.name)
    rows.append(Row(name, fault, database, verdict, time.monotonic() - started))
    print(report.line(rows[-1]), flush=True)
    if options.resume:
        _append(options.resume, rows[-1])


def _append(results: Path, row: Row) -> None:
    """Append a row to the results as a line of JSON."""
    with results.open("a") as file:
        file.write(json.dumps([row.name, row.database, asdict(row.verdict), row.seconds]) + "\n")


def _load(results: Path | None) -> list[Row]:
    """Load the rows of earlier runs."""
    if not results or not results.exists():
        return []
    loaded = map(json.loads, results.read_text().splitlines())
    return [Row(name, CATALOGUE[name], database, Verdict(**numbers), took) for name, database, numbers, took in loaded]


def _tried(rows: Sequence[Row]) -> set[tuple[str, str]]:
    return {(row.name, row.database) for row in rows}


def _open(fault: Fault, database: DatabaseName, folder: Path, cluster: Cluster) -> Store:
    if fault.has_standby:
        return ReplicatedPostgresql(folder)
    return Sqlite(folder, own_disk=fault.needs_disk) if database == "SQLite" else Postgresql(cluster)


def _keep_logs(place: Path, where: Path) -> None:
    where.mkdir(parents=True, exist_ok=True)
    for log in place.glob("*.log"):
        (where / log.name).write_bytes(log.read_bytes())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=CATALOGUE, help=", ".join(CATALOGUE))
    parser.add_argument("--database", action="append", choices=BOTH, help="default: both")
    parser.add_argument("--deliveries", type=int, default=DELIVERIES, metavar="N", help=f"at least ({DELIVERIES})")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the instants and the stories (1)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the logs of what broke its promise")
    parser.add_argument("--update", action="store_true", help="with --only: replace its rows of docs/reliability.md")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep results there; skip what it holds already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
