"""Import a library without an optional part that it imports with itself and that nothing here uses."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def import_without(library: str, unused: str) -> None:
    """Let a library be imported, whenever that is, as if another were not installed, unless that was imported before.

    Args:
        library: structlog, for example.
        unused: rich, for example, whose tracebacks in colours show local variables, and so what must not be logged.
    """
    _finder.unused[library] = unused
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder:
    """A finder of `sys.meta_path`. It inherits from none: importing the base class takes longer than all of this."""

    def __init__(self) -> None:
        self.unused: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find such a library, and let its loader hide the other one while it executes it."""
        unused = self.unused.get(fullname)
        if unused is None or unused in sys.modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_without(module: ModuleType) -> None:
            sys.modules[unused] = None  # type: ignore[assignment] # makes an import fail, as Python documents
            try:
                execute(module)
            finally:
                del sys.modules[unused]

        spec.loader.exec_module = execute_without  # type: ignore[method-assign]
        return spec


_finder = _Finder()
