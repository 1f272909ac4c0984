"""`replay --in-background` and `runs`: the same runs as the web page's."""

import json
from datetime import UTC, datetime

import pytest

from console.commands.deliveries.replay import replay
from console.commands.deliveries.runs import runs
from models.delivery import Delivery
from models.run import Run
from operations.runs.executor import advance_runs
from tests.console.conftest import Invoke
from tests.worker.harness import Harness

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_replay_goes_on_in_the_background(invoke: Invoke, sample_data: Harness) -> None:
    assert "no run" in invoke(runs, "list").output
    assert invoke(replay, "--dead", "--in-background", "--yes").exit_code == 2
    assert invoke(replay, "--dead", "--in-background", "--wait", "--yes", "--reason", "r").exit_code == 2
    started = invoke(replay, "--dead", "--in-background", "--yes", "--reason", "hook repaired", "--rate", "100/m")
    assert started.exit_code == 0, started.output
    assert "Run 1 has started" in started.output
    [run] = sample_data.all(Run)
    assert (run.by, run.reason, run.per_hour, run.total) == ("the-operator", "hook repaired", 6000, 1)
    assert "dead" in {row.status for row in sample_data.all(Delivery)}
    advance_runs(sample_data.services, datetime.now(UTC))
    shown = json.loads(invoke(runs, "show", "1", "--json").output)
    assert (shown["handled"], shown["changed"], shown["per_second"]) == (1, 1, pytest.approx(100 / 60))
    assert "hook repaired" in invoke(runs, "list").output
    assert "1 of 1" in invoke(runs, "show", "1").output


def test_a_run_is_cancelled(invoke: Invoke, sample_data: Harness) -> None:
    invoke(replay, "--dead", "--in-background", "--yes", "--reason", "r")
    assert "is cancelled: 0 of 1 delivery" in invoke(runs, "cancel", "1").output
    assert sample_data.all(Run)[0].cancelled_by == "the-operator"
    again = invoke(runs, "cancel", "1")
    assert again.exit_code == 1
    assert "has ended" in again.output
    assert "there is no run 7" in invoke(runs, "show", "7").output


def test_runs_are_listed_page_by_page(invoke: Invoke, sample_data: Harness) -> None:
    for reason in ("first", "second", "third"):
        invoke(replay, "--dead", "--in-background", "--yes", "--reason", reason)
    first = json.loads(invoke(runs, "list", "--limit", "2", "--json").output)
    assert ([run["reason"] for run in first["runs"]], first["next"]) == (["third", "second"], 2)
    last = json.loads(invoke(runs, "list", "--limit", "2", "--before", "2", "--json").output)
    assert ([run["reason"] for run in last["runs"]], last["next"]) == (["first"], None)
    assert "1 more: " in invoke(runs, "list", "--limit", "2").output
    assert "there is no run 0" in invoke(runs, "list", "--before", "x").output
    assert json.loads(invoke(runs, "cancel", "1", "--json").output)["status"] == "cancelled"
