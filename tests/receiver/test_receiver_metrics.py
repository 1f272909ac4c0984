"""The receiver's metrics: they count over all its processes and survive them; switched off, nothing is imported."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis import Redis

from devtools.processes import wait_until_ready
from tests.forked_run import run_forked
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, KEY, MakeApp
from tests.receiver.process import TIMEOUT_SECONDS, Process, environment, receiver_process, request
from tests.scrape import free_ports, read, read_until
from tests.waiting import wait_until

BODY = payload("booking_created")
GZIPPED = gzip.compress(BODY)
SIGNED = {"webhook_signature_scheme": "hex", "webhook_signature_secrets": ["s" * 32]}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"meetergo_inbox_{name}", labels) or 0.0


def counts() -> dict[str, float]:
    """All counted requests, by reason."""
    refused = [sample for family in REGISTRY.collect() for sample in family.samples if "refused_total" in sample.name]
    return {
        "accepted": value("deliveries_accepted_total"),
        "timed": value("ack_duration_seconds_count"),
        **{sample.labels["reason"]: sample.value for sample in refused},
    }


def increase(before: dict[str, float]) -> dict[str, float]:
    return {name: now - before.get(name, 0) for name, now in counts().items() if now != before.get(name, 0)}


@pytest.mark.parametrize(
    ("changes", "path", "body", "increases"),
    [
        ({}, ADDRESS, BODY, {"accepted": 1, "timed": 1}),
        ({}, ADDRESS + "x", BODY, {"unknown_address": 1}),
        ({}, ADDRESS, b"", {"no_length": 1}),
        ({"webhook_max_body": 10}, ADDRESS, BODY, {"too_large": 1}),
        (SIGNED, ADDRESS, BODY, {"bad_signature": 1}),
        ({}, ADDRESS, GZIPPED, {"unsupported_encoding": 1}),
        ({}, "/healthz", BODY, {}),
        ({}, "/somewhere", BODY, {}),
    ],
)
def test_each_answer_is_counted_once_under_its_reason(
    make_app: MakeApp, changes: dict[str, object], path: str, body: bytes, increases: dict[str, int]
) -> None:
    app, before = make_app(metrics_port=9100, **changes), counts()
    headers = {"Content-Encoding": "gzip"} if body is GZIPPED else {}
    app.test_client().post(path, data=body, headers=headers)
    assert increase(before) == increases


def test_a_webhook_that_nothing_can_keep_is_counted_and_timed_too(make_app: MakeApp, tmp_path: Path) -> None:
    down = {"redis_url": "redis://127.0.0.1:1", "database_url": f"sqlite:///{tmp_path}/nothing/inbox.db"}
    app = make_app(metrics_port=9100, **down)
    (tmp_path / "nothing").rmdir()
    before = counts()
    assert app.test_client().post(ADDRESS, data=BODY).status_code == 503
    assert increase(before) == {"nothing_keeps_it": 1, "timed": 1}


def test_the_metrics_change_nothing_of_a_response(make_app: MakeApp) -> None:
    plain, metrics_settings = make_app().test_client(), make_app(metrics_port=9100).test_client()
    for path in (ADDRESS, ADDRESS + "x", "/healthz", "/nowhere"):
        for method in ("GET", "POST"):
            without, with_metrics = (
                client.open(path, method=method, data=BODY) for client in (plain, metrics_settings)
            )
            assert (with_metrics.status, with_metrics.data) == (without.status, without.data)
            assert list(with_metrics.headers) == list(without.headers)


def test_numbers_that_cannot_be_written_refuse_no_webhook(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from receiver import metrics

    class FullDisk:
        def inc(self) -> None:
            raise OSError("no space left on device")

    app = make_app(metrics_port=9100)
    monkeypatch.setattr(metrics, "ACCEPTED", FullDisk())
    assert app.test_client().post(ADDRESS, data=BODY).status_code == 200


@pytest.mark.parametrize("opened", ["import receiver.rsgi", "from worker.services import services; services()"])
def test_switched_off_nothing_of_it_is_even_imported(tmp_path: Path, redis_url: str, opened: str) -> None:
    code = f"import sys\n{opened}\nprint('prometheus_client' in sys.modules)"
    settings = dict(WEBHOOK_KEYS=KEY, REDIS_URL=redis_url)
    for port, imported in (("", "False"), ("9100", "True")):
        env = environment(**settings, METRICS_PORT=port)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert (done.stdout.strip(), done.returncode) == (imported, 0), done.stderr


def deliver(process: Process, number: int) -> None:
    body = json.dumps({"number": number}).encode()
    assert b" 200 " in process.send_raw(request(f"Content-Length: {len(body)}"), body)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def metrics_settings(tmp_path: Path) -> dict[str, str]:
    return {"METRICS_PORT": str(free_ports(1)), "TMPDIR": str(tmp_path)}


def test_counts_outlive_the_server_process_that_made_them(
    tmp_path: Path, redis_url: str, redis: Redis, metrics_settings: dict[str, str]
) -> None:
    port = int(metrics_settings["METRICS_PORT"])
    with receiver_process(tmp_path, redis_url, **metrics_settings) as process:
        deliver(process, 1)
        [exporter, server] = children(process.popen.pid)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: set(children(process.popen.pid)) - {exporter, server})
        wait_until_ready(f"http://127.0.0.1:{process.port}", tmp_path / "receiver.log")
        deliver(process, 2)
        read_until(lambda scrape: scrape.value("deliveries_accepted_total") == 2, port)
        assert process.stop() == 0
        assert read(port).text == ""


def test_the_metrics_server_ends_with_a_receiver_that_was_killed_and_cleans_up(
    tmp_path: Path, redis_url: str, redis: Redis, metrics_settings: dict[str, str]
) -> None:
    port = int(metrics_settings["METRICS_PORT"])
    with receiver_process(tmp_path, redis_url, **metrics_settings) as process:
        read_until(lambda scrape: scrape.text, port)
        family = children(process.popen.pid)
        assert list(tmp_path.glob("meetergo-inbox-*"))
        process.popen.kill()
        process.popen.wait(TIMEOUT_SECONDS)
        wait_until(lambda: not listens(port))
        wait_until(lambda: not list(tmp_path.glob("meetergo-inbox-*")))
        wait_until(lambda: not listens(process.port))
        wait_until(lambda: not [pid for pid in family if is_alive(pid)])


@pytest.mark.parametrize(("module", "offset"), [("receiver", 0), ("worker", 1), ("worker.scheduler", 2)])
def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path, module: str, offset: int) -> None:
    first = free_ports(3)
    env = environment(WEBHOOK_KEYS=KEY, REDIS_URL="redis://127.0.0.1:1", METRICS_PORT=str(first))
    with socket.create_server(("127.0.0.1", first + offset)):
        done = run_forked(tmp_path, env, module)
    assert done.returncode == 2
    assert f"port {first + offset} of 127.0.0.1: it is taken" in done.stdout
    assert "Traceback" not in done.stdout
