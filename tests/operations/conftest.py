"""Fixtures of the command line's and of the workers' tests."""

from tests.console.conftest import invoke, meetergo, open_operator, operator, sample_data
from tests.worker.conftest import harness, open_harness, provider, three_hosts

__all__ = [
    "harness",
    "invoke",
    "meetergo",
    "open_harness",
    "open_operator",
    "operator",
    "provider",
    "sample_data",
    "three_hosts",
]
