"""Secrets and personal data are in no log at any level, no trace, and not in Redis, whatever goes wrong."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import urllib3
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import func, select, update
from sqlalchemy.engine import make_url

from devtools.processes import ROOT, environment, processes, wait_until_ready
from devtools.redis_server import free_port, redis_server
from devtools.send import samples
from devtools.send.client import Sender
from meetergo.events import UnreadableBody, read
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import MAX_ATTEMPTS
from runtime.database import Database
from runtime.outage import COOLDOWN
from runtime.queue import QUEUES, JobQueue
from runtime.redis.client import connect
from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH, AddressSigner
from tests.otlp_collector import PATH, Collector, otlp_collector
from tests.raw_sql import sql
from tests.redis_content import redis_dump
from tests.secrecy import bodies
from tests.secrecy.external_services import ExternalServices, open_external_services
from tests.secrecy.markers import Markers
from tests.waiting import wait_until
from worker.maintenance.failed_jobs import sync_failed_jobs
from worker.services import Services

MAX_BODY = 20_000
DEBUG_LOGGING = ROOT / "tests" / "secrecy" / "loud"


@dataclass
class Scene:
    """Everything that the test needs. `ours` ends our processes."""

    mark: Markers
    services_outside: ExternalServices
    collector: Collector
    database: Database
    redis: Redis
    url: str
    address: str
    logs: dict[str, Path]
    processes_stack: ExitStack
    accepted: list[str] = field(default_factory=list)

    def sender(self, signer: bool = True) -> Sender:
        verifier = Verifier("standard", [self.mark("signaturesecret")])
        return Sender(self.url + self.address, verifier if signer else None)

    def send(self, *contents: object) -> list[str]:
        """Return the ids of accepted deliveries."""
        ids = []
        for content in contents:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            answer = self.sender().send(body)
            assert (answer.status, answer.body["status"]) == (200, "accepted")
            ids.append(answer.body["delivery"])
        self.accepted += ids
        return ids

    def count(self, *criteria: object) -> int:
        with self.database.read_only() as session:
            return session.scalar(select(func.count()).where(*criteria)) or 0  # type: ignore[arg-type]

    def is_drained(self) -> bool:
        """Whether all deliveries ended, and all notifications that wait for no other were tried."""
        return not self.count(Delivery.status == "pending") and not self.count(
            Notification.status == "pending", Notification.attempts == 0, ~Notification._has_earlier_unsent()
        )

    def logged(self) -> str:
        return "".join(log.read_text() for log in self.logs.values())


def settings(mark: Markers, services_outside: ExternalServices, database_url: str, redis_url: str) -> dict[str, str]:
    """Settings in which every secret is a marker."""
    channels = [
        "log:",
        "mailto:",
        f"mailto:{mark('opsmail')}@example.com",
        f"http://{mark('postuser')}:{mark('postpassword')}@127.0.0.1:{services_outside.http}/{mark('postpath')}?k={mark('postquery')}",
        f"mmost://127.0.0.1:{services_outside.http}/{mark.plant('apprisetoken', mark('chat')[-26:])}",
        f"json://{mark('jsonuser')}:{mark('jsonpassword')}@127.0.0.1:{services_outside.http}/{mark('jsonpath')}",
    ]
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WEBHOOK_KEYS": f"{mark('oldkey')},{mark('newkey')}",
        "WEBHOOK_SIGNATURE_SCHEME": "standard",
        "WEBHOOK_SIGNATURE_SECRETS": f"whsec_{mark('signaturesecret')}",
        "WEBHOOK_MAX_BODY": str(MAX_BODY),
        "BODY_KEYS": f"{mark('oldbodykey')}AAA=,{mark('bodykey')}AAA=",
        "SMTP_URL": f"smtp://{mark('smtpuser')}:{mark('smtppassword')}@127.0.0.1:{services_outside.smtp}",
        "MAIL_FROM": "bookings@platform.example",
        "NOTIFY_DEFAULT": ",".join(channels),
        "NOTIFY_SIGNING_SECRET": f"whsec_{mark('postsecret')}",
        "ALERT_CHANNELS": f"json://{mark('alertuser')}:{mark('alertpassword')}@127.0.0.1:{services_outside.http}/{mark('alertpath')}",
        "PLATFORM_HOOK": "tests.secrecy.hook:changed",
        "HOST": "127.0.0.1",
    }


@pytest.fixture
def scene(database: Database, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    mark, port = Markers(), free_port()
    with (
        open_external_services() as services_outside,
        redis_server(tmp_path / "redis") as open_redis_url,
        otlp_collector() as collector,
    ):
        redis_url = with_password(open_redis_url, mark("redispassword"))
        if database_url.startswith("postgresql"):
            url = make_url(database_url).set(password=mark("databasepassword"))
            database_url = url.render_as_string(hide_password=False)
        env_settings = settings(mark, services_outside, database_url, redis_url)
        address = AddressSigner(env_settings["WEBHOOK_KEYS"].split(",")).path("default")
        mark.plant("addresstoken", address.rpartition(".")[2])
        add_hosts(database, mark)
        env_settings |= {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}{PATH}?token={mark('collectortoken')}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={mark('collectorheader')}",
        }
        env = environment({**env_settings, "PORT": str(port), "PYTHONPATH": f"{DEBUG_LOGGING}:{ROOT}"})
        url = f"http://127.0.0.1:{port}"
        with connect(redis_url) as redis, ExitStack() as processes_stack:
            logs = processes_stack.enter_context(processes(env, tmp_path))
            wait_until_ready(url, logs["web"])
            yield Scene(mark, services_outside, collector, database, redis, url, address, logs, processes_stack)


def with_password(redis_url: str, password: str) -> str:
    """Protect the same Redis by a password, and return its URL."""
    with Redis.from_url(redis_url) as redis:
        redis.config_set("requirepass", password)
    return redis_url.replace("redis://", f"redis://:{password}@")


def add_hosts(database: Database, mark: Markers) -> None:
    own = [
        f"mailto:{mark('ownmail')}@example.com",
        f"slack://{mark('brokenslack')}",
        f"http://127.0.0.1:{free_port()}/{mark('ownpath')}",
        f"json://127.0.0.1:{free_port()}/{mark('ownjson')}",
    ]
    with database.transaction() as session:
        for number, channels in enumerate([None, own]):
            user = PlatformUser(
                external_id=str(number),
                meetergo_user_id=(samples.HOST_ID, "own-host")[number],
                email=f"{mark(f'hostmail{number}')}@example.com",
                name=mark(f"hostname{number}"),
                booking_url=f"https://example.com/{mark('bookingurl')}",
                channels=channels,
            )
            session.add(user)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # its URL holds a password
def test_no_log_no_trace_and_no_redis_holds_a_secret_or_a_person(scene: Scene) -> None:
    send_valid_deliveries(scene)
    send_forged_requests(scene)
    scene.services_outside.is_hostile = True
    dying = send_failing_deliveries(scene)
    make_channels_fail(scene)
    lock_the_database(scene)
    pause_redis(scene)
    wait_until(lambda: scene.count(Delivery.id != "") == len(scene.accepted))
    wait_until(lambda: scene.count(Delivery.id.in_(dying), Delivery.status == "dead") == len(dying))
    wait_until(scene.is_drained)
    scene.processes_stack.close()
    assert_nothing_leaked(scene)


def send_valid_deliveries(scene: Scene) -> None:
    scene.send(*(make("b1", scene.mark) for make in (bodies.created, bodies.rescheduled, bodies.cancelled)))
    scene.send({"webhookType": "new_employee", "id": "e1", "email": f"{scene.mark('employee')}@example.com"})
    scene.send({**bodies.created("b1", scene.mark), "webhookType": "form_submission"})
    wait_until(lambda: scene.count(Notification.status == "done") >= 6)
    wait_until(scene.is_drained)
    assert not scene.count(Delivery.status == "dead")
    assert scene.services_outside.calls


def send_forged_requests(scene: Scene) -> None:
    body = json.dumps(bodies.created("stranger", scene.mark)).encode()
    token = scene.address.rpartition("/")[2]
    before = scene.count(Delivery.id != "")
    forged = AddressSigner([scene.mark("forged")]).path("default")
    scene.mark.plant("forgedtoken", forged.rpartition(".")[2])
    assert Sender(scene.url + forged).send(body).status == 404
    assert scene.sender(signer=False).send(body).status == 401
    assert scene.sender().send(body * (1 + MAX_BODY // len(body))).status == 413
    with urllib3.PoolManager(retries=False) as pool:
        for path in (f"/{token}", f"/healthz?{token}", f"{scene.address}/x", f"/{scene.address}", f"/static/{token}"):
            for method in ("GET", "POST", "DELETE"):
                headers = {"Referer": token, "Cookie": token, "Connection": "close"}
                pool.request(method, scene.url + path, body=body, headers=headers)
        pool.request("GET", scene.url + scene.address)
    port = int(scene.url.rpartition(":")[2])
    for line in (f"POST {WEBHOOK_PATH}/{token}\x00 HTTP/9\r\n\r\n", f"{token}\r\n\r\n", f"GET /\r\n{token}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw, suppress(OSError):
            raw.sendall(line.encode() + body)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
    assert scene.count(Delivery.id != "") == before


def is_readable(body: bytes) -> bool:
    try:
        read(body, datetime.now(UTC))
    except UnreadableBody:
        return False
    return True


def send_failing_deliveries(scene: Scene) -> list[str]:
    """Return the ids of deliveries that must die: for each one that the hook fails, the next attempt is the last."""
    odd = bodies.odd(scene.mark)
    unreadable = [each for each, body in zip(scene.send(*odd), odd, strict=True) if not is_readable(body)]
    assert len(unreadable) >= 4
    failed_by_hook = scene.send(*(bodies.created(f"{name}-1", scene.mark) for name in ("hook", "sql", "exit")))
    wait_until(lambda: scene.count(Delivery.id.in_(failed_by_hook), Delivery.attempts == 1) == len(failed_by_hook))
    with scene.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id.in_(failed_by_hook)).values(attempts=MAX_ATTEMPTS - 1))
    return [*unreadable, *failed_by_hook]


def make_channels_fail(scene: Scene) -> None:
    own = {"hostIds": ["own-host"], "hosts": []}
    b2 = Notification.booking_id == "b2"
    scene.send(bodies.created("b2", scene.mark))
    wait_until(
        lambda: scene.count(b2) and not scene.count(b2, Notification.status == "pending", Notification.attempts == 0)
    )
    assert scene.count(b2, Notification.status == "dead", Notification.channel == "mailto") == 2
    assert scene.count(b2, Notification.status == "pending", Notification.channel == "http") == 1
    scene.services_outside.mail.stop()
    scene.send(bodies.created("b3", scene.mark), {**bodies.created("b4", scene.mark), **own})
    wait_until(lambda: scene.count(Notification.booking_id == "b4", Notification.attempts > 0) >= 2)
    wait_until(
        lambda: scene.count(Notification.last_error.contains("the conversation with the mail server failed")) > 0
    )


def lock_the_database(scene: Scene) -> None:
    with scene.database.engine.begin() as connection:  # on SQLite this holds the only write lock
        if scene.database.supports_skip_locked:
            connection.execute(sql(connection, "LOCK TABLE deliveries IN EXCLUSIVE MODE"))
        scene.send(bodies.created("b5", scene.mark))
        wait_until(lambda: "database.unavailable" in scene.logs["worker"].read_text())
        in_redis = redis_dump(scene.redis)
        assert b"worker.jobs.store_deferred" in in_redis
        assert not scene.mark.found_in(in_redis)


def pause_redis(scene: Scene) -> None:
    time.sleep(COOLDOWN.total_seconds())  # until the receiver tries the database again
    scene.redis.client_pause(1500)
    scene.send(bodies.created("b6", scene.mark))
    assert "queue.unavailable" in scene.logs["web"].read_text()
    time.sleep(1.5)
    scene.redis.client_kill_filter(_type="normal", skipme=True)
    JobQueue(scene.redis).trigger_drain("inbox")


def assert_nothing_leaked(scene: Scene) -> None:
    stores = SimpleNamespace(database=scene.database, job_queue=JobQueue(scene.redis))
    sync_failed_jobs(cast("Services", stores), datetime.now(UTC))
    logged, in_redis = scene.logged(), redis_dump(scene.redis)
    assert not scene.mark.found_in(logged)
    assert not scene.mark.found_in(in_redis)
    failed = failed_job_errors(scene.redis)
    assert len(failed) >= scene.count(Delivery.status == "dead")
    assert not [scene.mark.found_in(error_text) for error_text in failed if scene.mark.found_in(error_text)]
    assert not [delivery_id for delivery_id in scene.accepted if delivery_id not in logged]
    assert "performing job" in logged, "the logs are not at DEBUG"
    traces = b"".join(scene.collector.raw)
    assert not scene.mark.found_in(traces)
    names = {span.name for span in scene.collector.spans}
    assert names >= {"POST /webhooks/meetergo", "process booking_created", "send mailto", "job drain", "task sweep"}


def failed_job_errors(redis: Redis) -> list[str]:
    """Return why the failed jobs of both queues failed, as RQ's own tools show it."""
    ids = [job_id for name in QUEUES for job_id in JobQueue(redis).queue(name).failed_job_registry.get_job_ids()]
    results = [Job.fetch(job_id, redis, serializer=JSONSerializer).latest_result() for job_id in ids]
    return [result.exc_string or "" for result in results if result]
