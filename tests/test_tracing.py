"""Traces: off unless OTEL_* asks, and then one from the request to the message sent."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from opentelemetry.trace import get_current_span
from rq import Worker
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from dashboard.stores import EXTENSION
from devtools.processes import ROOT, environment, processes, wait_until_ready
from devtools.redis_server import free_port
from devtools.send import samples
from devtools.send.client import Sender
from models.booking import Booking
from models.notification import Notification
from runtime import logs
from runtime.database import Database
from runtime.signed_address import AddressSigner
from runtime.tracing import switch
from tests.console.cli import ON_SQLITE
from tests.otlp_collector import Collector, ExportedSpan, otlp_collector
from tests.waiting import wait_until
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import AT, START, Harness
from worker.queue_worker import QueueWorker, _worker_type

__all__ = ["harness", "open_harness"]

KEY = "k" * 40
IMPORTS = "receiver.app, worker.pool, worker.services, worker.scheduler, dashboard.app, console.__main__"
WITHOUT_PACKAGES = f"""
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed: to import it fails
import {IMPORTS}
from runtime.tracing import switch
assert not switch.start("receiver")
switch.validate({{"OTEL_TRACES_EXPORTER": "otlp"}})
"""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector
        switch.stop()


def exported(collector: Collector) -> list[ExportedSpan]:
    """Return all spans of this process, which makes no more."""
    switch.stop()
    return collector.spans


@pytest.mark.parametrize(
    ("environ", "is_requested"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "inbox"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
    ],
)
def test_traces_are_made_only_if_the_standard_variables_ask(environ: dict[str, str], is_requested: bool) -> None:
    assert switch.is_requested(environ) is switch.validate(environ) is is_requested


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER cannot be used"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL cannot"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_sentence(
    environ: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        switch.validate(environ)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err.startswith(message)


def test_a_value_that_opentelemetry_refuses_stops_the_process_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    switch.check()
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "999999")  # more than the queue holds
    with pytest.raises(SystemExit) as exit_info:
        switch.check()
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("An OTEL_* variable cannot be used: ")
    assert not switch.is_on()


def test_missing_packages_are_named_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(switch, "PACKAGES", ("opentelemetry.sdk", "not_installed.trace"))
    with pytest.raises(SystemExit):
        switch.validate({"OTEL_TRACES_EXPORTER": "otlp"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install -r requirements-otel.txt")


def test_every_process_starts_without_the_packages() -> None:
    command = [sys.executable, "-c", WITHOUT_PACKAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith("pip install -r requirements-otel.txt\n")


@ON_SQLITE
def test_without_traces_the_workers_own_classes_run(harness: Harness) -> None:
    assert type(harness.services.inbox).__name__ == "InboxProcessor"
    assert type(harness.services.outbox).__name__ == "OutboxSender"


def test_a_traced_worker_runs_its_jobs_in_its_own_process_as_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "_is_on", True)
    traced = _worker_type()
    assert traced is not QueueWorker
    assert issubclass(traced, QueueWorker)
    assert not issubclass(traced, Worker), "RQ's own forks for each job, whose spans are lost"


@ON_SQLITE
def test_one_trace_leads_from_the_request_to_the_message_sent(
    database: Database, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Through real processes: the ids follow from the delivery's, so that nothing has to carry them."""
    port, path = free_port(), AddressSigner([KEY]).path("default")
    with otlp_collector() as collector:
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "REDIS_PREFIX": "traced",
            "WEBHOOK_KEYS": KEY,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "NOTIFY_DEFAULT": "log:",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with processes(environment(settings), tmp_path, ("web", "worker")) as logs:
            wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
            answer = Sender(f"http://127.0.0.1:{port}{path}").send(
                json.dumps(samples.created("b1", START, AT)).encode()
            )
            assert answer.status == 200
            trace_id = answer.body["delivery"][:32]
            exported = {"POST /webhooks/meetergo", "store deliveries", "process booking_created", "send log"}
            wait_until(lambda: exported <= {span.name for span in collector.trace(trace_id)})  # each by its own process
    spans = {span.name: span for span in collector.trace(trace_id)}
    request, process, send = (
        spans[name] for name in ("POST /webhooks/meetergo", "process booking_created", "send log")
    )
    assert request.parent_id == ""
    assert spans["store deliveries"].parent_id == process.parent_id == send.parent_id == request.span_id
    inserts = [span for span in collector.trace(trace_id) if span.name == "INSERT"]
    assert spans["store deliveries"].span_id in {span.parent_id for span in inserts}
    assert [span.service for span in (request, process, send)] == [
        "meetergo-inbox-receiver",
        "meetergo-inbox-worker",
        "meetergo-inbox-worker",
    ]
    assert request.started <= process.started <= send.started
    assert (request.attributes["http.response.status_code"], process.attributes["meetergo_inbox.status"]) == (
        200,
        "done",
    )
    (job_trace,) = process.linked
    job = {span.name: span for span in collector.trace(job_trace)}
    assert job["job drain"].parent_id == ""
    assert trace_id in job["process deliveries"].linked
    assert job["process deliveries"].parent_id == job["job drain"].span_id
    assert {"UPDATE deliveries", "INSERT booking_changes"} <= set(job)
    assert not [span for span in collector.spans if span.is_error]


def traced_harness(open_harness: Callable[..., Harness], **settings: str) -> Harness:
    assert switch.start("worker")
    return open_harness(**settings)


@ON_SQLITE
def test_each_delivery_of_a_batch_has_its_own_trace(open_harness: Callable[..., Harness], collector: Collector) -> None:
    harness = traced_harness(open_harness)
    ids = harness.deliver(samples.created("b1", START, AT), samples.created("b2", START, AT), b"no JSON")
    harness.process_due()
    spans = exported(collector)

    handled = {span.trace_id: span for span in spans if span.attributes.get("meetergo_inbox.delivery.id")}
    assert set(handled) == {each[:32] for each in ids}
    assert [handled[each[:32]].is_error for each in ids] == [False, False, True]
    unreadable = handled[ids[2][:32]]
    assert (unreadable.attributes["error.type"], unreadable.name) == ("Permanent", "process other")
    (batch,) = [span for span in spans if span.name == "process deliveries" and span.linked]
    assert set(batch.linked) == set(handled)


@ON_SQLITE
def test_a_delivery_that_no_request_brought_begins_its_own_trace(
    open_harness: Callable[..., Harness], collector: Collector
) -> None:
    harness = traced_harness(open_harness)
    (delivery_id,) = harness.deliver(samples.created("b1", START, AT), source="reconcile")
    harness.process_due()
    harness.send_all()
    spans = [span for span in exported(collector) if span.trace_id == delivery_id[:32]]
    process, send = sorted(spans, key=lambda span: span.started)
    assert (process.name, process.parent_id) == ("process booking_created", "")
    assert (send.name, send.parent_id) == ("send log", process.span_id)


@ON_SQLITE
def test_a_failed_message_tells_its_errors_type_alone(
    open_harness: Callable[..., Harness], collector: Collector
) -> None:
    url = f"http://127.0.0.1:{free_port()}/secret-path"
    harness = traced_harness(open_harness, notify_default=url, notify_signing_secret="whsec_" + "b2xk" * 8)
    harness.process(samples.created("b1", START, AT))
    harness.send_all()
    wait_until(lambda: harness.all(Notification)[0].attempts)
    (sent,) = [span for span in exported(collector) if span.name == "send http"]
    assert sent.is_error
    assert sent.attributes["error.type"]
    assert b"secret-path" not in b"".join(collector.raw)


@ON_SQLITE
def test_a_dropped_trace_is_dropped_in_every_process(
    open_harness: Callable[..., Harness], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    harness = traced_harness(open_harness)
    ids = harness.deliver(*(samples.created(f"b{each}", START, AT) for each in range(30)))
    harness.process_due()
    harness.send_all()
    spans = exported(collector)
    kept = [{span.trace_id for span in spans if span.name == name} for name in ("process booking_created", "send log")]
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < len(ids)


def test_statements_are_traced_without_parameters_and_literals(database: Database, collector: Collector) -> None:
    from runtime.tracing import spans

    assert switch.start("worker")
    with database.read_only() as session:
        session.execute(select(Booking.id).where(Booking.meeting_name == "Jane's secret"))  # outside of any span
        assert not get_current_span().is_recording()
        with spans.span("work"):
            session.execute(select(Booking.id).where(Booking.meeting_name == "Jane's secret"))
            session.execute(select(Booking.id).where(text("meeting_name = 'Jane''s secret' AND revision = 4711")))
            session.execute(text("SELECT 'Jane''s secret' /* Jane's secret */"))
            with pytest.raises(DBAPIError):
                session.execute(text("SELECT 'Jane''s secret' FROM nowhere"))
    sent = {span.name: span for span in exported(collector)}
    assert set(sent) == {"work", "SELECT bookings", "SELECT"}
    raw = b"".join(collector.raw)
    assert b"secret" not in raw
    assert b"4711" not in raw
    assert b"WHERE" in raw
    failed = [span for span in collector.spans if span.is_error]
    assert len(failed) == 1
    assert failed[0].attributes["error.type"] in ("OperationalError", "UndefinedTable")


@ON_SQLITE
def test_the_dashboard_tells_routes_and_no_address(
    harness: Harness, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", KEY)
    app: Flask = create_app(DashboardSettings.load())
    client = app.test_client()
    client.get("/login?token=a-secret-token")
    client.get("/bookings/a-secret-id?q=a-secret-name")
    client.get("/a-secret-path")
    app.extensions[EXTENSION].database.close()
    sent = {span.name: span for span in exported(collector)}
    assert {name for name in sent if name.startswith("GET")} == {"GET /login", "GET /bookings/<id:booking_id>"}
    assert sent["GET /login"].attributes["http.response.status_code"] == 401
    assert b"secret" not in b"".join(collector.raw)


@ON_SQLITE
def test_a_task_of_the_scheduler_is_a_trace(harness: Harness, collector: Collector) -> None:
    from worker.scheduler import SCHEDULE
    from worker.tracing import traced_schedule

    assert switch.start("scheduler")
    schedule = traced_schedule(SCHEDULE)
    assert schedule["wake"] == SCHEDULE["wake"]
    schedule["sweep"][1](harness.services, AT)
    spans = exported(collector)
    (task,) = [span for span in spans if span.name == "task sweep"]
    assert [span for span in spans if span.parent_id == task.span_id and span.attributes.get("db.query.text")]


def test_a_collector_that_is_down_delays_no_end_and_its_address_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from runtime.tracing import spans

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}/secret-path")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    logs.configure()
    assert switch.start("worker")
    with spans.span("work"):
        pass
    switch.stop()
    captured = capfd.readouterr().err
    assert "traces.not_exported" in captured
    assert "secret-path" not in captured
