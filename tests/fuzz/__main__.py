"""`python -m tests.fuzz`: the long version. Reports what it did, and fails on any violation."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from devtools.redis_server import redis_server
from tests.fuzz.raw_connections import fuzz_lines
from tests.fuzz.receiver import fuzz_receiver
from tests.fuzz.report import Report
from tests.fuzz.verifier import fuzz_verifier


def main() -> None:
    """Run all three fuzzers."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="to the verifier (1,000,000)")
    parser.add_argument("--requests", type=int, default=100_000, help="to the app (100,000)")
    parser.add_argument("--lines", type=int, default=4_000, help="to the server process (4,000)")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    is_clean = True
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name) / "redis") as redis_url:
        for run in _runs(arguments, Path(name), redis_url):
            started = time.monotonic()
            report = run()
            print(f"{report} in {timedelta(seconds=round(time.monotonic() - started))}", flush=True)
            is_clean &= not report.violations
    sys.exit(0 if is_clean else 1)


def _runs(arguments: argparse.Namespace, folder: Path, redis_url: str) -> Iterator[Callable[[], Report]]:
    yield lambda: fuzz_verifier(arguments.seed, arguments.inputs)
    yield lambda: fuzz_receiver(arguments.seed, arguments.requests, folder, redis_url)
    yield lambda: fuzz_lines(arguments.seed, arguments.lines, folder, redis_url)


if __name__ == "__main__":
    main()
