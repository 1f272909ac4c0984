"""The harness of the back room's benchmark is alive: it counts who does the work, and says why somebody did not."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from benchmarks.backroom.contestants import CONTESTANTS, LOOP, ONE
from benchmarks.backroom.trial import Failed, Trial
from benchmarks.bodies import bodies
from benchmarks.stores import Stores

DELIVERIES = 20


@pytest.fixture
def trial(tmp_path: Path, redis_url: str) -> Trial:
    return Trial(Stores(tmp_path, redis_url, "", count()), "sqlite", bodies("smoke", DELIVERIES))


@pytest.mark.parametrize("name", [LOOP, ONE])
def test_who_works_off_all_deliveries_has_a_rate(trial: Trial, name: str) -> None:
    figures = trial.run(CONTESTANTS[name], DELIVERIES)
    assert figures["rate"] > 0
    assert figures["memory"] > 0


def test_who_does_not_work_has_none_and_its_last_words_are_told(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.backroom.trial.STALLED_AFTER_SECONDS", 1.0)
    with pytest.raises(Failed, match="No module named nobody"):
        trial.run(replace(CONTESTANTS[LOOP], command="nobody"), DELIVERIES)
