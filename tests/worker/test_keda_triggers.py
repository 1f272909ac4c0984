"""The queries by which KEDA scales the workers (deploy/kubernetes) count the rows that wait."""

from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import text

from tests.payloads import payload
from tests.worker.harness import Harness
from worker.metrics.gauges import StatsCollector

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "kubernetes"


def query(component: str) -> str:
    *_, scaled = yaml.safe_load_all((FOLDER / component / "scaledobject.yaml").read_text())
    return str(scaled["spec"]["triggers"][0]["metadata"]["query"])


def test_prometheus_is_asked_for_a_metric_that_the_scheduler_exports(harness: Harness) -> None:
    harness.deliver(payload("booking_created"), payload("booking_created", id="another"))
    registry = CollectorRegistry()
    registry.register(StatsCollector(harness.services))
    metric = query("keda-prometheus").removeprefix("sum(max by (box) (").rstrip(")")
    assert f'{metric}{{box="inbox"}} 2.0' in generate_latest(registry).decode()


def test_postgresql_counts_the_rows_that_are_due(harness: Harness) -> None:
    engine = harness.services.database.engine
    if engine.dialect.name == "sqlite":
        return  # which KEDA cannot ask
    harness.deliver(payload("booking_created"), payload("booking_created", id="another"))
    with engine.connect() as connection:
        assert connection.scalar(text(query("keda-postgresql"))) == 2
    harness.process_due()
    harness.send_all()
    with engine.connect() as connection:
        assert connection.scalar(text(query("keda-postgresql"))) == 0
