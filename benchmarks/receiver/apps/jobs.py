"""The job that the receivers of other people enqueue. Nobody runs it here: the queue only fills."""

from typing import Any


def handle(payload: dict[str, Any]) -> None:
    """Named by the receivers, never called."""
