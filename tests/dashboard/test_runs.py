"""Replay and ignore by page: first the plan, then reason and rate, then a run that goes on by itself."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from devtools.forked import ForkedProcess, Program
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.run import Run
from operations.runs.executor import advance_runs
from runtime.redis import heartbeat
from tests.dashboard.conftest import Client, OpenApp, client_of
from tests.operations.test_runs import die, finish
from tests.worker.harness import Harness

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def form_of(text: str) -> dict[str, list[str]]:
    """Return the hidden fields of the form that starts a run."""
    fields: dict[str, list[str]] = {}
    for name, value in HIDDEN.findall(text.partition('action="/runs/start"')[2].partition("</form>")[0]):
        fields.setdefault(name, []).append(value.replace("&#39;", "'").replace("&amp;", "&"))
    return fields


def plan(client: FlaskClient, query: str) -> dict[str, list[str]]:
    response = client.get(f"/runs/plan?{query}")
    assert response.status_code == 200, response.text
    return form_of(response.text)


def test_all_that_match_are_planned_started_and_watched(client: Client, harness: Harness) -> None:
    die(harness, 6)
    ada = client("operate")
    text = ada.get("/runs/plan?kind=replay&all=1&status=dead&error=hook").text
    assert "Replay: 6 deliveries" in text
    assert "new booking" in text
    assert [row.status for row in harness.all(Delivery)] == ["dead"] * 6
    started = ada.post("/runs/start", data=form_of(text) | {"reason": "hook repaired", "rate": "100/s"})
    assert started.status_code == 303
    [run] = harness.all(Run)
    assert started.headers["Location"] == f"/runs/{run.id}"
    assert (run.by, run.total, run.per_hour) == ("Ada", 6, 360_000)
    assert run.selection == {"status": "dead", "error": "hook"}
    assert "0 of 6 handled" in ada.get(f"/runs/{run.id}").text
    finish(harness, run)
    page = ada.get(f"/runs/{run.id}").text
    assert "It has ended: everything is done." in page
    assert 'data-poll=""' in page
    assert "hook repaired" in ada.get("/runs").text
    assert [row.status for row in harness.all(Delivery)] == ["done"] * 6


def test_a_selection_is_replayed_alone(client: Client, harness: Harness) -> None:
    die(harness, 5)
    ids = [row.id for row in harness.all(Delivery)][:2]
    ada = client("operate")
    form = plan(ada, f"kind=replay&id={ids[0]}&id={ids[1]}")
    assert ada.post("/runs/start", data=form | {"reason": "these two"}).status_code == 303
    advance_runs(harness.services, datetime.now(UTC))
    assert {row.id for row in harness.all(Delivery) if row.status == "pending"} == set(ids)


def test_it_asks_again_if_the_set_has_changed(client: Client, harness: Harness) -> None:
    die(harness, 3)
    ada = client("operate")
    form = plan(ada, "kind=replay&all=1&status=dead")
    harness.process(b"not json")
    asked = ada.post("/runs/start", data=form | {"reason": "hook repaired"})
    assert asked.status_code == 409
    assert "The set has changed" in asked.text
    assert "Replay: 4 deliveries" in asked.text
    assert harness.all(Run) == []
    assert ada.post("/runs/start", data=form_of(asked.text) | {"reason": "hook repaired"}).status_code == 303


def test_what_would_fail_again_can_be_left_out(client: Client, harness: Harness) -> None:
    die(harness, 3)
    harness.process(b"not json")
    ada = client("operate")
    text = ada.get("/runs/plan?kind=replay&all=1&status=dead").text
    assert "without the 1 that would fail again" in text
    assert "the body is not JSON" in text
    assert ada.post("/runs/start", data=form_of(text) | {"reason": "r", "without_failing": "1"}).status_code == 303
    assert harness.all(Run)[0].total == 3


def test_a_run_without_a_reason_or_with_a_bad_rate_does_not_start(client: Client, harness: Harness) -> None:
    die(harness, 2)
    ada = client("operate")
    form = plan(ada, "kind=replay&all=1&status=dead")
    for fields, message in (({"reason": " "}, "Say why"), ({"reason": "r", "rate": "fast"}, "not a rate")):
        response = ada.post("/runs/start", data=form | fields)
        assert response.status_code == 400
        assert message in response.text
    assert ada.post("/runs/start", data={"kind": "replay", "reason": "r"}).status_code == 400
    assert ada.post("/runs/start", data={"kind": "erase", "all": "1", "reason": "r"}).status_code == 400
    assert ada.get("/runs/plan?kind=replay").status_code == 400
    assert ada.get("/runs/plan?kind=replay&id=x").status_code == 400
    assert harness.all(Run) == []


def test_dead_deliveries_are_ignored_with_a_reason(client: Client, harness: Harness) -> None:
    die(harness, 2)
    ada = client("operate")
    form = plan(ada, "kind=ignore&all=1&status=dead")
    ada.post("/runs/start", data=form | {"reason": "a test of theirs"})
    advance_runs(harness.services, datetime.now(UTC))
    assert {row.note for row in harness.all(Delivery)} == {"ignored: a test of theirs (run 1)"}
    assert {act.by for act in harness.all(Intervention)} == {"Ada"}


def test_a_delivery_that_waits_is_retried_now(client: Client, harness: Harness) -> None:
    [key] = harness.deliver(b"{}")
    with harness.services.database.transaction() as session:
        [row] = Delivery.get_for_update(session, [key])
        row.attempts, row.due_at, row.last_error = 3, datetime(2099, 1, 1, tzinfo=UTC), "later"
    ada = client("operate")
    assert "Retry now" in ada.get(f"/deliveries/{key}").text
    form = plan(ada, f"kind=replay&id={key}")
    ada.post("/runs/start", data=form | {"reason": "their server is back"})
    advance_runs(harness.services, datetime.now(UTC))
    [row] = harness.all(Delivery)
    assert row.attempts == 3
    assert row.due_at < datetime.now(UTC)


def test_a_run_is_cancelled_by_whoever_may(client: Client, harness: Harness) -> None:
    die(harness, 4)
    ada = client("operate")
    ada.post("/runs/start", data=plan(ada, "kind=replay&all=1&status=dead") | {"reason": "r", "rate": "1/h"})
    advance_runs(harness.services, datetime.now(UTC))
    assert "Cancel this run" in ada.get("/runs/1").text
    assert "Cancel this run" not in client("read").get("/runs/1").text
    assert client("read").post("/runs/1/cancel").status_code == 403
    assert ada.post("/runs/1/cancel").status_code == 303
    assert "Cancelled by Ada" in ada.get("/runs/1").text
    assert ada.post("/runs/1/cancel").status_code == 409
    assert ada.post("/runs/9/cancel").status_code == 404
    assert ada.get("/runs/99999999999").status_code == 404


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_run_goes_on_after_its_scheduler_and_the_dashboard_were_killed(
    open_app: OpenApp, harness: Harness, tmp_path: Path
) -> None:
    die(harness, 6)
    ada = client_of(open_app(), "operate")
    form = plan(ada, "kind=replay&all=1&status=dead")
    assert ada.post("/runs/start", data=form | {"reason": "r", "rate": "1/s"}).status_code == 303
    victim = ForkedProcess(Program("worker.scheduler"), tmp_path, tmp_path / "victim.log")
    try:
        deadline = time.monotonic() + 60
        while not harness.all(Run)[0].position:
            assert victim.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        victim.kill()
        victim.wait()
    [run] = harness.all(Run)
    assert 0 < run.position < 6
    another = client_of(open_app(), "operate")
    assert f"{run.position} of 6 handled" in another.get("/runs/1").text
    finish(harness, run)
    assert "It has ended: everything is done." in another.get("/runs/1").text
    acts = [act.delivery_id for act in harness.all(Intervention) if act.kind == "replayed"]
    assert len(acts) == len(set(acts)) == 6


def test_the_page_says_that_no_scheduler_works_on_it(client: Client, harness: Harness) -> None:
    die(harness, 1)
    ada = client("operate")
    ada.post("/runs/start", data=plan(ada, "kind=replay&all=1&status=dead") | {"reason": "r"})
    assert "No scheduler works on it" in ada.get("/runs/1").text
    redis = harness.services.job_queue.redis
    heartbeat.record(redis, "runs", datetime.now(UTC), heartbeat.DEATH_WINDOW)
    assert "No scheduler works on it" not in ada.get("/runs/1").text


def test_notifications_are_sent_again_by_a_run(client: Client, sample_data: Harness) -> None:
    ada = client("operate")
    sent = [row for row in sample_data.all(Notification) if row.status == "done" and row.channel == "log"]
    ids = "&".join(f"id={row.id}" for row in sent)
    refused = ada.get(f"/runs/plan?target=notifications&kind=replay&{ids}")
    assert "There is nothing to do" in refused.text
    form = plan(ada, f"target=notifications&kind=replay&resend=1&superseded=1&{ids}")
    assert ada.post("/runs/start", data=form | {"reason": "the platform lost them"}).status_code == 303
    advance_runs(sample_data.services, datetime.now(UTC))
    acts = [act for act in sample_data.all(Intervention) if act.kind == "sent_again"]
    assert {(act.by, act.reason) for act in acts} == {("Ada", "the platform lost them (run 1)")}
    assert len(acts) == len(sent)


def test_dead_notifications_are_ignored_by_a_run(client: Client, sample_data: Harness) -> None:
    ada, now = client("operate"), datetime.now(UTC)
    with sample_data.services.database.transaction() as session:
        for row in session.scalars(select(Notification).where(Notification.channel != "log").with_for_update()):
            row.status, row.ended_at, row.last_error = "dead", now, "the channel is gone"
    form = plan(ada, "target=notifications&kind=ignore&all=1&status=dead&error=gone")
    asked = ada.post("/runs/start", data=form | {"reason": "gone for good", "digest": "x"})
    assert asked.status_code == 409
    assert ada.post("/runs/start", data=form_of(asked.text) | {"reason": "gone for good"}).status_code == 303
    advance_runs(sample_data.services, datetime.now(UTC))
    assert "dead" not in {row.status for row in sample_data.all(Notification)}
    assert ada.get("/runs/plan?target=notifications&kind=ignore").status_code == 400
