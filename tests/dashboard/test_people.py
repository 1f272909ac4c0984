"""People's data by page: pruning and erasing, planned first, done by a run, recorded with a name."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from flask.testing import FlaskClient
from redis import Redis

from devtools.redis_server import free_port
from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.privacy.erasure import vacuum
from models.privacy.person import ERASED
from models.run import Run
from operations.runs.executor import advance_runs
from runtime.database import Database
from runtime.redis import deferred_deliveries
from tests.dashboard.conftest import Client
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness

DIGEST = re.compile(r'name="digest" value="([^"]*)"')


def find(client: FlaskClient, email: str) -> str:
    response = client.post("/people/find", data={"email": email})
    assert response.status_code == 200, response.text
    found = DIGEST.search(response.text)
    assert found
    return found[1]


def test_a_guest_is_erased_by_a_run(client: Client, sample_data: Harness, database: Database) -> None:
    ada, guest = client("people"), sample_data.booking("b1").attendees[0]
    email = guest["email"]
    digest = find(ada, email)
    assert email in str(sample_data.booking("b1").attendees)
    started = ada.post("/people/erase", data={"email": email, "digest": digest, "reason": "asked by mail"})
    assert started.status_code == 303
    [run] = sample_data.all(Run)
    assert run.encrypted_guest
    assert email not in str(run.selection)
    advance_runs(sample_data.services, datetime.now(UTC))
    [run] = sample_data.all(Run)
    assert (run.status, run.encrypted_guest) == ("done", None)
    assert run.outcome["bookings"] >= 1
    assert email not in str(sample_data.booking("b1").attendees)
    assert [(act.by, act.reason) for act in sample_data.all(Intervention) if act.kind == "erased"] == [
        ("Ada", "asked by mail (run 1)")
    ]
    page = ada.get("/runs/1").text
    assert "It has ended" in page
    assert email not in page
    with database.engine.connect() as connection:
        for table in ("runs", "interventions"):
            assert email not in str(connection.execute(sql(connection, f"SELECT * FROM {table}")).all())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_run_that_could_not_erase_all_of_a_guest_says_so(client: Client, sample_data: Harness) -> None:
    ada, email = client("people"), sample_data.booking("b1").attendees[0]["email"]
    sample_data.deliver(samples.created("b99", START, AT, attendees=[{"id": "guest-99", "email": email}]))
    ada.post("/people/erase", data={"email": email, "digest": find(ada, email), "reason": "asked by mail"})
    advance_runs(sample_data.services, datetime.now(UTC))
    page = ada.get("/runs/1").text
    assert "Not all is erased:" in page
    assert "1 row was not reached." in page
    assert "everything is done" not in page


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_run_that_left_copies_of_a_guest_elsewhere_says_where(
    client: Client, sample_data: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook is in Redis only, and another process reads the database's file all the time."""
    monkeypatch.setattr("operations.erasure.vacuum", partial(vacuum, timeout=timedelta(0)))
    ada, email = client("people"), sample_data.booking("b1").attendees[0]["email"]
    ada.post("/people/erase", data={"email": email, "digest": find(ada, email), "reason": "asked by mail"})
    deferred_deliveries.add(sample_data.services.job_queue.redis, "inbox-1", AT)
    with closing(sqlite3.connect(sample_data.services.database.engine.url.database or "")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM bookings").fetchone()
        advance_runs(sample_data.services, datetime.now(UTC))
    page = ada.get("/runs/1").text
    assert "1 webhook was in Redis only, and was not searched." in page
    assert "the database file still holds old copies." in page
    assert "everything is done" not in page


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_run_erases_a_guest_while_redis_is_down(client: Client, sample_data: Harness) -> None:
    ada, email = client("people"), sample_data.booking("b1").attendees[0]["email"]
    ada.post("/people/erase", data={"email": email, "digest": find(ada, email), "reason": "asked by mail"})
    sample_data.services.job_queue.redis = Redis(port=free_port())
    advance_runs(sample_data.services, datetime.now(UTC))
    assert email not in str(sample_data.booking("b1").attendees)
    assert "Redis did not answer" in ada.get("/runs/1").text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["email", "fullname"])
def test_a_reason_that_names_the_guest_is_erased_too(client: Client, sample_data: Harness, name: str) -> None:
    ada, guest = client("people"), sample_data.booking("b1").attendees[0]
    email, reason = guest["email"], f"{guest[name]} asked"
    ada.post("/people/erase", data={"email": email, "digest": find(ada, email), "reason": reason})
    advance_runs(sample_data.services, datetime.now(UTC))
    acts = [(act.kind, act.reason) for act in sample_data.all(Intervention)]
    assert acts == [("started", f"run 1: erase a guest: {ERASED}"), ("erased", f"{ERASED} (run 1)")]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_erasure_needs_somebody_a_reason_and_the_plan_of_now(client: Client, sample_data: Harness) -> None:
    ada, email = client("people"), sample_data.booking("b1").attendees[0]["email"]
    for data, status in (({}, 409), ({"email": "x"}, 409), ({"email": "nobody@example.org"}, 409)):
        assert ada.post("/people/find", data=data).status_code == status
    digest = find(ada, email)
    assert ada.post("/people/erase", data={"email": email, "digest": digest}).status_code == 400
    asked_again = ada.post("/people/erase", data={"email": email, "digest": "x", "reason": "by mail"})
    assert (asked_again.status_code, 'value="by mail"' in asked_again.text) == (409, True)
    assert client("operate").post("/people/erase", data={"email": email}).status_code == 403
    assert sample_data.all(Run) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_old_rows_are_pruned_by_a_run(client: Client, sample_data: Harness) -> None:
    with sample_data.services.database.transaction() as session:
        rows = Delivery.get_for_update(session, [row.id for row in sample_data.all(Delivery)])
        done = [row for row in rows if row.status == "done"]
        for row in done:
            row.ended_at = datetime.now(UTC) - timedelta(days=99)
    ada = client("people")
    assert f"{len(done)} would be deleted" in ada.get("/people").text
    assert ada.post("/people/prune", data={"reason": " "}).status_code == 400
    asked = ada.post("/people/prune", data={"reason": "audit tomorrow", "digest": "another"})
    assert asked.status_code == 409
    found = DIGEST.search(asked.text)
    assert found
    assert ada.post("/people/prune", data={"reason": "audit tomorrow", "digest": found[1]}).status_code == 303
    advance_runs(sample_data.services, datetime.now(UTC))
    [run] = sample_data.all(Run)
    assert (run.status, run.outcome["deliveries"]) == ("done", len(done))
    assert [act.kind for act in sample_data.all(Intervention) if act.kind == "pruned"] == ["pruned"]
    assert "People" not in client("operate").get("/runs").text
