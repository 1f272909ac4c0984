"""`python -m benchmarks`: measure everything side by side, and write docs/performance.md."""

import argparse
import json
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime

from benchmarks import machine, parts, report
from benchmarks.parts import PARTS, Measured
from benchmarks.rounds import Rounds
from benchmarks.stores import Stores, stores

ROUNDS = {"receiver": 3, "worker": 3, "growth": 3, "journey": 2, "network": 2, "cost": 1}
"""Of each part, so that all of it takes about 45 minutes on two cores."""


def main() -> int:
    """Return the exit code: 1 if a part failed or a target is missed."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    failed = [] if options.report else _measure(options)
    if failed:
        print(f"Failed: {', '.join(failed)}; see above. Earlier results are kept.")
    if options.quick:
        print("A smoke run: results and page stay unchanged.")
        return int(bool(failed))
    promises = report.write()
    for promise in promises:
        print(f"{promise.what}: {promise.measured} ({promise.promised}), {promise.verdict}")
    print(f"Written: {report.PAGE.relative_to(report.PAGE.parent.parent)}")
    return int(bool(failed) or any(promise.kept is False for promise in promises))


def _measure(options: argparse.Namespace) -> list[str]:
    """Measure, and return the names of the parts that failed."""
    failed = []
    with ExitStack() as stack:
        with machine.on(machine.SERVER):
            each = stack.enter_context(stores())
        for part in options.only or PARTS:
            try:
                _part(part, each, options)
            except Exception:  # the other parts are still measured
                traceback.print_exc()
                failed.append(part)
    return failed


def _part(part: str, each: Stores, options: argparse.Namespace) -> None:
    rounds, started = Rounds(1 if options.quick else options.rounds or ROUNDS[part]), time.monotonic()
    print(f"{part}: measuring, {rounds.count} round{'s' * (rounds.count > 1)} ...", flush=True)
    results = json.loads(json.dumps(parts.module(part).measure(each, rounds, quick=options.quick)))
    seconds = time.monotonic() - started
    print(f"{part}: took {seconds / 60:.1f} minutes", flush=True)
    if options.quick:
        print(parts.show(part, results))
        return
    day = datetime.now(UTC).date().isoformat()
    Measured(day, rounds.count, round(seconds), machine.describe(), rounds.probes, results).save(part)


def _parts(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [part for part in chosen if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return chosen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="PARTS", type=_parts, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each measurement (1 to 3, by the part)")
    parser.add_argument("--quick", action="store_true", help="only try whether it works; nothing is kept or written")
    parser.add_argument("--report", action="store_true", help="write the page again, from what was measured last")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
