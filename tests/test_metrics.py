"""The metrics of real processes; dashboard and alert rules use no others."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from rq import Worker

from devtools.processes import environment, processes, run_release, wait_until_ready
from devtools.redis_server import free_port, redis_server
from devtools.send import samples
from devtools.send.client import Sender
from runtime import queue
from runtime.queue import JobQueue
from runtime.redis.client import connect
from runtime.signed_address import WEBHOOK_PATH, AddressSigner
from tests.scrape import Scrape, free_ports, read, read_until
from tests.waiting import wait_until

OPERATIONS = Path(__file__).parent.parent / "docs" / "operations"
KEYS = "k" * 32
MAX_BODY = 5_000
NOW = datetime.now(UTC)
NAME = re.compile(r"meetergo_inbox_[a-z0-9_]+")
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not on the PATH: it comes with Prometheus")


@dataclass
class Service:
    """A receiver with two server processes, a worker and a scheduler."""

    url: str
    metrics: int
    redis_url: str
    logs: dict[str, Path]

    @property
    def targets(self) -> tuple[int, int, int]:
        return self.metrics, self.metrics + 1, self.metrics + 2

    def send(self, body: bytes, path: str = AddressSigner([KEYS]).path("default")) -> int:
        return Sender(self.url + path).send(body).status


def body(number: int) -> bytes:
    return json.dumps(samples.created(f"b{number}", NOW + timedelta(days=1), NOW)).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder, port, metrics = tmp_path_factory.mktemp("house"), free_port(), free_ports(3)
    with redis_server(folder / "redis") as redis_url:
        env = environment(
            {
                "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
                "REDIS_URL": redis_url,
                "WEBHOOK_KEYS": KEYS,
                "WEBHOOK_MAX_BODY": str(MAX_BODY),
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "WEB_PROCESSES": "2",
                "METRICS_PORT": str(metrics),
                "TMPDIR": str(folder),
            }
        )
        run_release(env, folder)
        with processes(env, folder) as logs:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, logs["web"])
            yield Service(url, metrics, redis_url, logs)
        assert list(folder.glob("meetergo-inbox-*")) == []
    assert "Traceback" not in "".join(log.read_text() for log in logs.values())


@pytest.fixture(scope="module")
def after_traffic(service: Service) -> Scrape:
    """A scrape after some of everything was processed and the scheduler's gauges are fresh."""
    statuses = [service.send(body(number)) for number in (1, 2, 3, 3)]
    statuses += [service.send(b"not json"), service.send(b'{"webhookType":"made_up_by_a_stranger"}')]
    statuses += [service.send(b"{}", f"{WEBHOOK_PATH}/guess{number}") for number in range(2)]
    statuses += [service.send(b" " * (MAX_BODY + 1)), service.send(b"")]
    assert statuses == [200] * 6 + [404, 404, 413, 400]

    def is_drained(scrape: Scrape) -> bool:
        def value(name: str, **labels: str) -> float:
            return scrape.value(name, **labels) or 0

        attempts = sum(value("attempts_total", box="inbox", outcome=outcome) for outcome in ("done", "dead"))
        ended = sum(value(f"rows_{status}", box="inbox") for status in ("done", "dead"))
        sent = value("notifications_total", channel="log", outcome="done"), value("rows_done", box="outbox")
        has_swept = scrape.value("schedule_next_run_timestamp_seconds", task="sweep")
        return attempts == ended == 5 and sent == (3, 3) and has_swept is not None

    return read_until(is_drained, *service.targets)


def test_the_receiver_counts_accepted_and_rejected_requests_of_all_its_processes(after_traffic: Scrape) -> None:
    assert after_traffic.value("deliveries_accepted_total") == 6
    refused = {
        reason: after_traffic.value("deliveries_refused_total", reason=reason)
        for reason in ("unknown_address", "too_large", "malformed", "bad_signature", "nothing_keeps_it")
    }
    assert refused == {"unknown_address": 2, "too_large": 1, "malformed": 1, "bad_signature": 0, "nothing_keeps_it": 0}
    assert after_traffic.value("ack_duration_seconds_count") == 6
    assert after_traffic.value("ack_duration_seconds_bucket", le="+Inf") == 6


def test_the_workers_count_the_outcome_of_each_attempt(after_traffic: Scrape) -> None:
    value = after_traffic.value
    assert [value("attempts_total", box="inbox", outcome=outcome) for outcome in ("done", "retrying", "dead")] == [
        4,
        0,
        1,
    ]
    assert value("deliveries_handled_total", event="booking_created", outcome="done") == 3
    assert value("deliveries_handled_total", event="other", outcome="done") == 1
    assert value("deliveries_handled_total", event="other", outcome="dead") == 1
    assert value("delivery_processing_seconds_count") == 4
    assert value("attempts_total", box="outbox", outcome="done") == 3


def test_the_scheduler_exports_the_state_of_queues_and_stores(after_traffic: Scrape) -> None:
    value = after_traffic.value
    assert {name: value(f"rows_{name}", box="inbox") for name in ("waiting", "done", "dead")} == {
        "waiting": 0,
        "done": 4,
        "dead": 1,
    }
    assert value("oldest_waiting_age_seconds", box="inbox") == 0
    assert value("queue_jobs", box="inbox", state="failed") is not None  # mirrored each minute
    assert [value("workers", box=name) for name in queue.QUEUES] == [1, 1]
    assert [value("store_up", store=store) for store in ("database", "redis")] == [1, 1]
    assert (value("schedule_next_run_timestamp_seconds", task="sweep") or 0) > NOW.timestamp()
    assert value("incident_open", kind="deliveries_dead") is not None


def test_a_sender_cannot_choose_a_label(after_traffic: Scrape) -> None:
    assert "stranger" not in after_traffic.text
    assert "guess" not in after_traffic.text


def test_the_receiver_port_serves_no_metrics(service: Service) -> None:
    with urllib3.PoolManager() as pool:
        answer = pool.request("GET", f"{service.url}/metrics")
    assert answer.status == 404
    assert b"meetergo_inbox" not in answer.data


def test_the_counters_of_a_worker_survive_its_death(service: Service, after_traffic: Scrape) -> None:
    with connect(service.redis_url) as redis:
        [first] = Worker.all(queue=JobQueue(redis).queue("inbox"))
        os.kill(first.pid or 0, signal.SIGKILL)
        wait_until(lambda: {worker.pid for worker in Worker.all(queue=JobQueue(redis).queue("inbox"))} - {first.pid})
    before = after_traffic.value("deliveries_handled_total", event="booking_created", outcome="done") or 0
    assert service.send(body(4)) == 200

    def is_done(scrape: Scrape) -> bool:
        return scrape.value("deliveries_handled_total", event="booking_created", outcome="done") == before + 1

    read_until(is_done, *service.targets)


def metric_names(expressions: list[str]) -> set[str]:
    return {name for expression in expressions for name in NAME.findall(expression)}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_every_metric_of_the_dashboard_and_of_the_rules_is_exported(after_traffic: Scrape) -> None:
    used = metric_names([*expressions(), *(rule["expr"] for rule in rules())])
    assert len(used) > 15
    assert used - after_traffic.names == set()


def test_every_exported_metric_is_on_the_dashboard(after_traffic: Scrape) -> None:
    exposed = {re.sub("_(bucket|sum|count)$", "", name) for name in after_traffic.names}
    assert exposed - {re.sub("_(bucket|sum|count)$", "", name) for name in metric_names(expressions())} == set()


def test_each_panel_has_a_unit_a_position_and_the_selected_data_source() -> None:
    dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for panel_or_target in (panel, *panel["targets"]):
            assert panel_or_target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_each_rule_has_a_delay_a_command_and_a_link_to_the_docs() -> None:
    for rule in rules():
        assert rule["for"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert re.search(r"Type: bin/inbox \w+", rule["annotations"]["description"])
        assert re.search(r'docs/operations\.md, section "[^"]+"\.$', rule["annotations"]["description"])


def test_the_section_that_a_rule_names_exists() -> None:
    headings = set(re.findall(r"^## (.+)$", (OPERATIONS.parent / "operations.md").read_text(), re.MULTILINE))
    named = {re.findall(r'section "([^"]+)"', rule["annotations"]["description"])[0] for rule in rules()}
    assert named <= headings


def promtool(*words: str, stdin: str = "") -> None:
    assert PROMTOOL
    done = subprocess.run([PROMTOOL, *words], cwd=OPERATIONS, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


@needs_promtool
def test_promtool_accepts_names_and_units(service: Service) -> None:
    for port in service.targets:
        promtool("check", "metrics", stdin=read(port).text)
