"""One id follows a webhook from the receiver to the notification, through the logs of real processes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from redis import Redis

from devtools.processes import environment, processes, run_release, wait_until_ready
from devtools.redis_server import free_port
from devtools.send import samples
from runtime.signed_address import AddressSigner
from tests.waiting import wait_until

KEYS = "k" * 32


def lines_about(delivery_id: str, log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("delivery_id") == delivery_id]


def test_the_response_and_each_log_carry_the_same_id(tmp_path: Path, redis: Redis, redis_url: str) -> None:
    url, address = f"http://127.0.0.1:{(port := free_port())}", AddressSigner([KEYS]).path("default")
    stores = {"DATABASE_URL": f"sqlite:///{tmp_path / 'inbox.db'}", "REDIS_URL": redis_url}
    env = environment({**stores, "WEBHOOK_KEYS": KEYS, "HOST": "127.0.0.1", "PORT": str(port)})
    now = datetime.now(UTC)
    run_release(env, tmp_path)
    with processes(env, tmp_path, names=["web", "worker"]) as logs, urllib3.PoolManager() as pool:
        wait_until_ready(url, logs["web"])
        responses = [
            pool.request("POST", url + path, body=json.dumps(body).encode(), retries=False)
            for path, body in (
                (address, samples.created("b1", now + timedelta(days=1), now)),
                (address, samples.created("b2", now + timedelta(days=2), now)),
                (f"{address}x", {"webhookType": "booking_created"}),
            )
        ]
        assert [response.status for response in responses] == [200, 200, 404]
        first = responses[0].headers["X-Delivery-Id"]
        assert first == responses[0].json()["delivery"] != responses[1].headers["X-Delivery-Id"]
        assert "X-Delivery-Id" not in responses[2].headers
        wait_until(lambda: len(lines_about(first, logs["worker"])) == 2)
        assert [line["event"] for line in lines_about(first, logs["web"])] == ["delivery.accepted"]
        worker_lines = lines_about(first, logs["worker"])
    assert {(line["event"], line["booking_id"]) for line in worker_lines} == {
        ("delivery.done", "b1"),
        ("notification.done", "b1"),
    }
