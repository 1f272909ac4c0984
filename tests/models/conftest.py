"""The desk of the back room serves here too."""

from tests.worker.conftest import harness, open_harness

__all__ = ["harness", "open_harness"]
