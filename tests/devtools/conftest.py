"""Fixtures of operations, of the command line and of the workers."""

from tests.operations.conftest import *  # noqa: F403 - it defines __all__
