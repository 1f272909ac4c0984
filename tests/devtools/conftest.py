"""The fixtures of operations serve here too: of the command line and of the workers."""

from tests.operations.conftest import *  # noqa: F403 - what it names in __all__
