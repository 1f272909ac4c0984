"""The fixtures of the workers' tests."""

from tests.worker.conftest import harness, open_harness

__all__ = ["harness", "open_harness"]
