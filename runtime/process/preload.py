"""Import before the fork, so that a server process and its supervisor share the memory of what is imported."""

import gc
import multiprocessing
from importlib import import_module


def fork_with_imported(module: str) -> None:
    """Let the processes that this one starts be forks that have imported a module.

    Args:
        module: the app's; importing it opens nothing.
    """
    multiprocessing.set_start_method("fork", force=True)  # Python 3.14 would put another process between
    import_module(module)
    freeze_before_fork()


def freeze_before_fork() -> None:
    """Freeze all objects, or the collector of each fork would write to all of them, and so copy their pages.

    Nothing is collected before: forks would fill the holes, and so copy the pages around them. See Python's
    documentation of gc.freeze.
    """
    gc.freeze()
