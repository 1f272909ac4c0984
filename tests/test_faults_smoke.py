"""The harness of `make faults` works: two cheap faults with few deliveries."""

from pathlib import Path
from random import Random

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.databases import Sqlite
from tests.faults.trial import Trial


@pytest.mark.parametrize("name", ["receiver", "redis-full"])
def test_a_cheap_fault_breaks_no_promise(name: str, tmp_path: Path) -> None:
    store = Sqlite(tmp_path)
    try:
        verdict = Trial(CATALOGUE[name], store, 30, Random(1), tmp_path).run()
    finally:
        store.close()
    assert verdict.broken == []
    assert verdict.answered >= 30
