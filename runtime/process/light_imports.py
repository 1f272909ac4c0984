"""Import a library without an optional part that it imports with itself and that nothing here uses."""

import sys
from importlib import import_module


def import_without(library: str, unused: str) -> None:
    """Import a library as if another were not installed, unless either was imported already.

    Args:
        library: structlog, for example.
        unused: rich, for example, whose tracebacks in colours show local variables, and so what must not be logged.
    """
    if unused in sys.modules or library in sys.modules:
        return
    sys.modules[unused] = None  # type: ignore[assignment] # None makes an import fail, as Python documents
    try:
        import_module(library)
    finally:
        del sys.modules[unused]
