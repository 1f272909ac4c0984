"""The desk of the back room serves here too."""

from tests.worker.conftest import desk, open_desk

__all__ = ["desk", "open_desk"]
