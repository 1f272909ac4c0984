"""The desk of the back room serves here too, and the provider beside it."""

from tests.worker.conftest import desk, open_desk, provider, three_hosts

__all__ = ["desk", "open_desk", "provider", "three_hosts"]
