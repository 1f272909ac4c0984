"""`python -m benchmarks.worker.enqueue MODULE`: enqueue one job per id on stdin, in the way of that setup."""

import asyncio
import inspect
import sys
from importlib import import_module


def main() -> None:
    """Run in the environment with the setup's library."""
    enqueued = import_module(sys.argv[1]).enqueue(sys.stdin.read().split())
    if inspect.iscoroutine(enqueued):
        asyncio.run(enqueued)


if __name__ == "__main__":
    main()
