"""The job that other receivers enqueue. It never runs here: the queue only fills."""

from typing import Any


def handle(payload: dict[str, Any]) -> None:
    """Named by the receivers, never called."""
