"""Forks share the memory of what their parent imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRELOAD_A_SERVER = """
from runtime.process.preload import fork_with_imported
fork_with_imported("receiver.app")
"""
PRELOAD_ALL_PROGRAMS = """
from devtools.forked import preload
from devtools.run import RunSettings
preload(RunSettings(database_url="sqlite:///x.db", webhook_keys="k" * 40, redis_url="redis://x"))
"""


@pytest.mark.parametrize("preload", [PRELOAD_A_SERVER, PRELOAD_ALL_PROGRAMS])
def test_what_is_imported_is_frozen_without_a_collection_before(preload: str, tmp_path: Path) -> None:
    """Frozen objects are in no list of the collector. One that runs only when it is called is never called."""
    program = f"""
import gc
gc.disable()
gc.callbacks.append(lambda phase, info: print("collection"))
{preload}
print(gc.get_freeze_count() > 100 * len(gc.get_objects()))
"""
    env = {"PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", program], cwd=tmp_path, env=env, text=True) == "True\n"
