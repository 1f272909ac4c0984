"""Import a file of the platform under a name of its own."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from os import PathLike
from pathlib import Path
from types import ModuleType


def import_file(path: str | PathLike[str], name: str = "") -> ModuleType:
    """Import a file or the folder of a package by its path, once per process.

    `import models` in a hook finds this service's package `models`. `import_file("/srv/platform/models.py")` finds the
    platform's.

    Args:
        path: the file, or the folder of a package. A relative path begins at the working folder.
        name: name of the module; default `platform_models` for `models.py` or `models/`.

    Raises:
        ImportError: there is no such file.
    """
    file = Path(path).expanduser().absolute()
    folder = file if file.is_dir() else None
    name = name or f"platform_{file.stem}"
    file = file / "__init__.py" if folder else file
    if not file.is_file():
        raise ImportError(f"there is no file {file}", path=str(file))
    known = sys.modules.get(name)
    if known and known.__file__ == str(file):
        return known
    spec = spec_from_file_location(name, file, submodule_search_locations=[str(folder)] if folder else None)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file", path=str(file))
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
