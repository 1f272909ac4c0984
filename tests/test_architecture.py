"""Dependencies go one way.

meetergo <- runtime <- models <- receiver | worker <- operations <- console | dashboard | read_api <- devtools. Beside
`models`, `meetergo_inbox` is what a platform's hook imports: runtime <- meetergo_inbox <- worker.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASE = {"meetergo", "runtime"}
MAY_IMPORT = {
    "meetergo": set[str](),
    "runtime": {"meetergo"},
    "models": BASE,
    "receiver": {*BASE, "models"},
    "meetergo_inbox": {"runtime"},
    "worker": {*BASE, "models", "meetergo_inbox"},
    "operations": {*BASE, "models", "receiver", "worker"},
    "console": {*BASE, "models", "receiver", "worker", "operations"},
    "dashboard": {*BASE, "models", "receiver", "worker", "operations"},
    "read_api": {*BASE, "models", "receiver", "worker", "operations"},
    "devtools": {*BASE, "models", "receiver", "worker", "operations", "console", "dashboard", "read_api"},
}
ONLY_IN = {
    "click": {"console", "devtools"},
    "flask": {"receiver", "dashboard", "read_api", "devtools"},
    **{name: set(MAY_IMPORT) - {"models"} for name in ("os", "signal", "socket", "multiprocessing")},
}
"""Libraries, and which packages may import them."""
IN_THE_IMAGE = set(MAY_IMPORT) - {"devtools"}
MOST_MODULES = {
    "models": 30,
    "models/migrations/versions": 99,
    "operations": 19,
    "runtime": 17,
    "receiver": 12,
    "worker/channels": 12,
    "dashboard/screens": 17,
}
"""Maximum per folder, without `__init__` and `__main__`; 16 for all others."""


def imported_packages(source: str) -> Iterator[str]:
    """Return the packages of ours that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "say where it comes from: no relative imports"
            names = [node.module or ""]
        yield from (name.partition(".")[0] for name in names)


def forbidden_imports(package: str, source: str) -> set[str]:
    imported = set(imported_packages(source))
    ours = imported & set(MAY_IMPORT)
    libraries = {name for name in imported & set(ONLY_IN) if package not in ONLY_IN[name]}
    return (ours - MAY_IMPORT[package] - {package}) | libraries


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    forbidden = {
        f"{path.relative_to(ROOT)} -> {other}"
        for path in modules
        for other in forbidden_imports(package, path.read_text())
    }
    assert not forbidden


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("meetergo", "from models.delivery import Delivery"),
        ("models", "import worker.jobs"),
        ("receiver", "def later():\n    from worker import jobs"),
        ("worker", "if True:\n    import receiver.app as app"),
        ("worker", "from devtools.processes import processes"),
        ("worker", "from operations import status"),
        ("runtime", "from models.delivery import Delivery"),
        ("console", "import devtools.run"),
        ("console", "import dashboard.app"),
        ("dashboard", "from console.cli import audit"),
        ("read_api", "import dashboard.app"),
        ("worker", "from read_api import app"),
        ("operations", "import flask"),
        ("operations", "import click"),
        ("worker", "from flask import Flask"),
        ("models", "import os"),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str) -> None:
    assert forbidden_imports(package, source)


def imported_modules(source: str) -> Iterator[str]:
    """Return the modules of ours that a module imports, anywhere in it, by their paths."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in names:
            path = f"{origin}{name}".replace(".", "/")
            candidates = (f"{path}.py", f"{path.rpartition('/')[0]}.py")
            yield from [each for each in candidates if (ROOT / each).is_file()][:1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even late, within a function: each can be read after those that it imports."""
    paths = [path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")]
    graph = {str(path.relative_to(ROOT)): {*imported_modules(path.read_text())} for path in paths}
    assert graph["worker/jobs.py"] >= {"worker/services.py", "worker/maintenance/failed_jobs.py"}
    assert "runtime/postgresql/engine.py" in graph["runtime/database.py"], "a late import"
    TopologicalSorter(graph).prepare()


def test_only_modules_that_are_imported_late_import_opentelemetry() -> None:
    importing = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if "opentelemetry" in imported_packages(path.read_text())
    }
    assert importing == {
        *(f"runtime/tracing/{name}.py" for name in ("exporter", "provider", "spans", "statements", "wsgi")),
        "receiver/tracing.py",
        "worker/tracing.py",
    }


STATEMENTS = {"select", "insert", "update", "delete", "text", "union_all"}


def imported_statements(source: str) -> set[str]:
    """Return what a module imports from SQLAlchemy to build a statement of its own."""
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {
        alias.name
        for node in imports
        if (node.module or "").partition(".")[0] == "sqlalchemy"
        for alias in node.names
        if alias.name in STATEMENTS
    }


def test_the_dashboard_builds_no_statement() -> None:
    """Its queries are in `operations` and `models`, where the command line uses them, too."""
    building = {path.name: imported_statements(path.read_text()) for path in (ROOT / "dashboard").rglob("*.py")}
    assert {name for name, found in building.items() if found} == set()
    assert imported_statements("def late():\n    from sqlalchemy import Select, select") == {"select"}


def test_the_queue_names_jobs_that_exist() -> None:
    from runtime.redis.allowed_jobs import DRAIN, RETRY_ONE, STORE_DEFERRED
    from worker import jobs

    for path in (DRAIN, RETRY_ONE, STORE_DEFERRED):
        module, _, name = path.rpartition(".")
        assert module == jobs.__name__
        assert callable(getattr(jobs, name))


def test_the_image_has_every_package_but_the_tools_of_developers() -> None:
    copied = {line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")}
    assert copied & set(MAY_IMPORT) == IN_THE_IMAGE
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed & set(MAY_IMPORT) == IN_THE_IMAGE


def test_no_account_is_meant_silently() -> None:
    """A default that means the first company mixes up the data of two."""
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name, default in defaults(node)
        if "account" in name and isinstance(default, ast.Name) and default.id == "DEFAULT"
    }
    assert found == set()
    [function] = ast.parse("def load(session, account=DEFAULT, *, webhook_account: str = DEFAULT): ...").body
    assert [name for name, _ in defaults(function)] == ["account", "webhook_account"]


def defaults(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters and the fields that a node declares with a default."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        optional = positional[len(positional) - len(arguments.defaults) :]
        yield from ((each.arg, default) for each, default in zip(optional, arguments.defaults, strict=True))
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        yield from ((each.arg, default) for each, default in keywords if default)
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def test_class_names_are_unique() -> None:
    found: dict[str, list[str]] = {}
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_no_folder_has_too_many_modules() -> None:
    for package in MAY_IMPORT:
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            name = str(folder.relative_to(ROOT))
            modules = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
            assert len(modules) <= MOST_MODULES.get(name, 16), name
