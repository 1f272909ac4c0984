"""`python -m benchmarks.worker.enqueue MODULE`: one job for each id on stdin, as that contestant enqueues."""

import asyncio
import inspect
import sys
from importlib import import_module


def main() -> None:
    """In the environment that the contestant's library is in."""
    enqueued = import_module(sys.argv[1]).enqueue(sys.stdin.read().split())
    if inspect.iscoroutine(enqueued):
        asyncio.run(enqueued)


if __name__ == "__main__":
    main()
