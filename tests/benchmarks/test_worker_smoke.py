"""The harness of the worker benchmark works: it measures a setup, and reports why another failed."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from benchmarks.bodies import bodies
from benchmarks.stores import Stores
from benchmarks.worker.setups import HOOKED, LOOP, ONE, SETUPS
from benchmarks.worker.trial import RunFailed, WorkerTrial

DELIVERIES = 20


@pytest.fixture
def trial(tmp_path: Path, redis_url: str) -> WorkerTrial:
    return WorkerTrial(Stores(tmp_path, redis_url, "", count()), "sqlite", bodies("smoke", DELIVERIES))


@pytest.mark.parametrize("name", [LOOP, ONE, HOOKED])
def test_a_setup_that_processes_all_deliveries_has_a_rate(trial: WorkerTrial, name: str) -> None:
    figures = trial.run(SETUPS[name], DELIVERIES)
    assert figures["rate"] > 0
    assert figures["memory"] > 0


def test_a_setup_that_does_not_start_fails_with_its_log(trial: WorkerTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.worker.trial.STALLED_AFTER_SECONDS", 1.0)
    with pytest.raises(RunFailed, match="No module named nobody"):
        trial.run(replace(SETUPS[LOOP], command="nobody"), DELIVERIES)
