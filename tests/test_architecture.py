"""The arrows of the house go one way: meetergo <- models <- receiver | worker <- console."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "meetergo": set(),
    "models": {"meetergo"},
    "receiver": {"meetergo", "models"},
    "worker": {"meetergo", "models"},
    "console": {"meetergo", "models", "receiver", "worker"},
}


def imported_packages(source: str) -> Iterator[str]:
    """Names of our rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "say where it comes from: no relative imports"
            names = [node.module or ""]
        yield from (name.partition(".")[0] for name in names if name.partition(".")[0] in MAY_IMPORT)


def forbidden_imports(package: str, source: str) -> set[str]:
    return set(imported_packages(source)) - MAY_IMPORT[package] - {package}


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
        ("worker", "if True:\n    import receiver.app as door"),
        ("worker", "from devtools.processes import processes"),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str) -> None:
    assert forbidden_imports(package, source)


def test_the_queue_names_jobs_that_exist() -> None:
    from runtime import queue
    from worker import jobs

    for path in (queue.DRAIN, queue.RETRY_ONE, queue.STORE_DEFERRED):
        module, _, name = path.rpartition(".")
        assert module == jobs.__name__
        assert callable(getattr(jobs, name))
