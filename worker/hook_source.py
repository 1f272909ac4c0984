"""Find the function that PLATFORM_HOOK names, in a file or a module of the platform."""

import functools
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from meetergo_inbox import import_file
from runtime.settings import shorten

ROOT = Path(__file__).parent.parent
FORM = "it should look like package.module:function or path/to/file.py:function"


class UnusableHook(ValueError):
    """PLATFORM_HOOK or PLATFORM_PATH cannot be used; the message says why."""


def find_function(path: str, folders: Sequence[Path]) -> Any:
    """Import the function that PLATFORM_HOOK names, with PLATFORM_PATH on Python's path.

    Raises:
        UnusableHook: it names no function, or PLATFORM_PATH names no folder.
        Exception: whatever the platform's code raises when it is imported.
    """
    add_to_path(folders)
    source, colon, name = path.rpartition(":")
    if not colon or not source or not name:
        raise UnusableHook(f"PLATFORM_HOOK={path} cannot be imported: {FORM}")
    module = import_file(source) if _is_file(source) else importlib.import_module(source)
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError as error:
        raise UnusableHook(f"PLATFORM_HOOK={path} cannot be imported: {error}") from error


def add_to_path(folders: Sequence[Path]) -> None:
    """Put the platform's folders on Python's path: behind this service's own packages, before installed ones.

    Raises:
        UnusableHook: one of them does not exist.
    """
    for folder in folders:
        if not os.path.exists(folder):  # noqa: PTH110 - Path.exists raises for a path that is too long
            raise UnusableHook(shorten(f"PLATFORM_PATH cannot be used: there is no folder {folder}"))
    new = [str(folder.absolute()) for folder in folders if str(folder.absolute()) not in sys.path]
    own = [place for place, entry in enumerate(sys.path) if Path(entry or ".").absolute() == ROOT]
    place = own[0] + 1 if own else 0
    sys.path[place:place] = dict.fromkeys(new)


def shadowed(path: str, folders: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence for each folder of the platform that has modules named like packages of this service.

    `import models` finds the service's package in each process: all its own code depends on that.
    """
    source = path.rpartition(":")[0]
    beside = [Path(source).expanduser().absolute().parent] if _is_file(source) else []
    on_path = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for folder in dict.fromkeys(each.absolute() for each in (*folders, *beside, *on_path)):
        names = [name for name in _own_packages() if folder != ROOT and _has_module(folder, name)]
        if names:
            yield (
                f"{_listed(names)} of {folder} {'is' if len(names) == 1 else 'are'} shadowed by this service's own: in "
                f"the hook, `import {names[0]}` finds meetergo-inbox's. For the platform's, use meetergo_inbox."
                "import_file; see docs/platform.md, Names that clash."
            )


def _is_file(source: str) -> bool:
    return source.endswith(".py") or os.sep in source


def advice(error: ImportError) -> str:
    """Return what to do about a failed import of the platform's code; empty if its message says enough."""
    package = str(error.name).partition(".")[0]
    if package in _own_packages():
        return (
            f". {package} is a package of meetergo-inbox, which shadows yours: see docs/platform.md, Names that clash"
        )
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return ". Put the folder that holds it into PLATFORM_PATH, or install it where this service runs"


@functools.cache
def _own_packages() -> Sequence[str]:
    return sorted(file.parent.name for file in ROOT.glob("*/__init__.py"))


def _has_module(folder: Path, name: str) -> bool:
    spec = PathFinder.find_spec(name, [str(folder)])
    if spec is None:
        return False
    return spec.origin is not None or any(
        any(Path(each).glob("*.py")) for each in spec.submodule_search_locations or ()
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
