"""Secrets and personal data are in no log at any level, and not in Redis, whatever goes well or wrong."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import make_url

from console import samples
from console.redis_server import free_port, redis_server
from console.sender import Sender
from console.stage import ROOT, environment, processes, wait_until_ready
from meetergo.address import WEBHOOK_PATH, Addresses
from meetergo.events import Unreadable, read
from meetergo.signatures import Verifier
from models import queue
from models.database import Database
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from models.queue import BOXES, Bell
from models.respite import RESPITE
from models.todo import MAX_ATTEMPTS
from tests.redis_content import everything_in
from tests.secrecy import bodies
from tests.secrecy.markers import Markers
from tests.secrecy.world import World, open_world

PATIENCE = timedelta(seconds=40)
MAX_BODY = 20_000
LOUD = ROOT / "tests" / "secrecy" / "loud"


@dataclass
class Scene:
    """All that a test of secrecy works with. `ours` ends our processes."""

    mark: Markers
    world: World
    database: Database
    redis: Redis
    url: str
    address: str
    logs: dict[str, Path]
    ours: ExitStack
    accepted: list[str] = field(default_factory=list)

    def sender(self, signer: bool = True) -> Sender:
        verifier = Verifier("standard", [self.mark("signaturesecret")])
        return Sender(self.url + self.address, verifier if signer else None)

    def send(self, *contents: object) -> list[str]:
        """The ids of deliveries that were accepted."""
        ids = []
        for content in contents:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            answer = self.sender().send(body)
            assert (answer.status, answer.body["status"]) == (200, "accepted")
            ids.append(answer.body["delivery"])
        self.accepted += ids
        return ids

    def count(self, *criteria: object) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).where(*criteria)) or 0  # type: ignore[arg-type]

    def settled(self) -> bool:
        """All deliveries ended, and all news was tried."""
        return not self.count(Delivery.status == "pending") and not self.count(
            Notification.status == "pending", Notification.attempts == 0
        )

    def printed(self) -> str:
        return "".join(log.read_text() for log in self.logs.values())


def settings(mark: Markers, world: World, database_url: str, redis_url: str) -> dict[str, str]:
    """Every secret setting is a marker."""
    channels = [
        "log:",
        "mailto:",
        f"mailto:{mark('opsmail')}@example.com",
        f"http://{mark('postuser')}:{mark('postpassword')}@127.0.0.1:{world.http}/{mark('postpath')}?k={mark('postquery')}",
        f"mmost://127.0.0.1:{world.http}/{mark.plant('apprisetoken', mark('chat')[-26:])}",
        f"json://{mark('jsonuser')}:{mark('jsonpassword')}@127.0.0.1:{world.http}/{mark('jsonpath')}",
    ]
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WEBHOOK_KEYS": f"{mark('oldkey')},{mark('newkey')}",
        "WEBHOOK_SIGNATURE_SCHEME": "standard",
        "WEBHOOK_SIGNATURE_SECRETS": f"whsec_{mark('signaturesecret')}",
        "WEBHOOK_MAX_BODY": str(MAX_BODY),
        "BODY_KEYS": f"{mark('oldbodykey')}AAA=,{mark('bodykey')}AAA=",
        "SMTP_URL": f"smtp://{mark('smtpuser')}:{mark('smtppassword')}@127.0.0.1:{world.smtp}",
        "MAIL_FROM": "bookings@platform.example",
        "NOTIFY_DEFAULT": ",".join(channels),
        "NOTIFY_SIGNING_SECRET": f"whsec_{mark('postsecret')}",
        "ALERT_CHANNELS": f"json://{mark('alertuser')}:{mark('alertpassword')}@127.0.0.1:{world.http}/{mark('alertpath')}",
        "PLATFORM_HOOK": "tests.secrecy.hook:changed",
        "HOST": "127.0.0.1",
    }


@pytest.fixture
def scene(database: Database, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    mark, port = Markers(), free_port()
    with open_world() as world, redis_server(tmp_path / "redis") as open_redis_url:
        redis_url = locked(open_redis_url, mark("redispassword"))
        if database_url.startswith("postgresql"):
            url = make_url(database_url).set(password=mark("databasepassword"))
            database_url = url.render_as_string(hide_password=False)
        given = settings(mark, world, database_url, redis_url)
        address = Addresses(given["WEBHOOK_KEYS"].split(",")).path("default")
        mark.plant("addresstoken", address.rpartition(".")[2])
        add_hosts(database, mark)
        env = environment({**given, "PORT": str(port), "PYTHONPATH": f"{LOUD}:{ROOT}"})
        url = f"http://127.0.0.1:{port}"
        with queue.connect(redis_url) as redis, ExitStack() as ours:
            logs = ours.enter_context(processes(env, tmp_path))
            wait_until_ready(url, logs["web"])
            yield Scene(mark, world, database, redis, url, address, logs, ours)


def locked(redis_url: str, password: str) -> str:
    """The URL of the same Redis, which asks for a password from now on."""
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


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_no_log_and_no_redis_holds_a_secret_or_a_person(scene: Scene) -> None:
    all_goes_well(scene)
    strangers_knock(scene)
    scene.world.is_hostile = True
    doomed = bodies_are_bad_and_the_hook_fails(scene)
    channels_fail(scene)
    the_database_is_away(scene)
    redis_is_away(scene)
    until(lambda: scene.count(Delivery.id != "") == len(scene.accepted))
    until(lambda: scene.count(Delivery.id.in_(doomed), Delivery.status == "dead") == len(doomed))
    until(scene.settled)
    scene.ours.close()
    assert_nothing_leaked(scene)


def all_goes_well(scene: Scene) -> None:
    scene.send(*(make("b1", scene.mark) for make in (bodies.created, bodies.rescheduled, bodies.cancelled)))
    scene.send({"webhookType": "new_employee", "id": "e1", "email": f"{scene.mark('employee')}@example.com"})
    scene.send({**bodies.created("b1", scene.mark), "webhookType": "form_submission"})
    until(lambda: scene.count(Notification.status == "done") >= 6)
    until(scene.settled)
    assert not scene.count(Delivery.status == "dead")
    assert scene.world.told


def strangers_knock(scene: Scene) -> None:
    body = json.dumps(bodies.created("stranger", scene.mark)).encode()
    token = scene.address.rpartition("/")[2]
    before = scene.count(Delivery.id != "")
    forged = Addresses([scene.mark("forged")]).path("default")
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
    except Unreadable:
        return False
    return True


def bodies_are_bad_and_the_hook_fails(scene: Scene) -> list[str]:
    """The ids of deliveries that are to die: of each that the hook fails, the next try is the last."""
    odd = bodies.odd(scene.mark)
    unreadable = [each for each, body in zip(scene.send(*odd), odd, strict=True) if not is_readable(body)]
    assert len(unreadable) >= 4
    hooked = scene.send(*(bodies.created(f"{name}-1", scene.mark) for name in ("hook", "sql", "exit")))
    until(lambda: scene.count(Delivery.id.in_(hooked), Delivery.attempts == 1) == len(hooked))
    with scene.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id.in_(hooked)).values(attempts=MAX_ATTEMPTS - 1))
    return [*unreadable, *hooked]


def channels_fail(scene: Scene) -> None:
    own = {"hostIds": ["own-host"], "hosts": []}
    b2 = Notification.booking_id == "b2"
    scene.send(bodies.created("b2", scene.mark))
    until(lambda: scene.count(b2) and not scene.count(b2, Notification.status == "pending", Notification.attempts == 0))
    assert scene.count(b2, Notification.status == "dead", Notification.channel == "mailto") == 2
    assert scene.count(b2, Notification.status == "pending", Notification.channel == "http") == 1
    scene.world.mail.stop()
    scene.send(bodies.created("b3", scene.mark), {**bodies.created("b4", scene.mark), **own})
    until(lambda: scene.count(Notification.booking_id == "b4", Notification.attempts > 0) >= 2)
    until(lambda: scene.count(Notification.last_error.contains("the conversation with the mail server failed")) > 0)


def the_database_is_away(scene: Scene) -> None:
    with scene.database.engine.begin() as connection:  # on SQLite, this alone holds the write lock
        if scene.database.skips_locked:
            connection.execute(text("LOCK TABLE deliveries IN EXCLUSIVE MODE"))
        scene.send(bodies.created("b5", scene.mark))
        until(lambda: "database.away" in scene.logs["worker"].read_text())
        in_redis = everything_in(scene.redis)
        assert b"worker.jobs.carry" in in_redis
        assert not scene.mark.found_in(in_redis)


def redis_is_away(scene: Scene) -> None:
    time.sleep(RESPITE.total_seconds())  # until the receiver asks the database again
    scene.redis.client_pause(1500)
    scene.send(bodies.created("b6", scene.mark))
    assert "bell.unheard" in scene.logs["web"].read_text()
    time.sleep(1.5)
    scene.redis.client_kill_filter(_type="normal", skipme=True)
    Bell(scene.redis).ring("inbox")


def assert_nothing_leaked(scene: Scene) -> None:
    printed, in_redis = scene.printed(), everything_in(scene.redis)
    assert not scene.mark.found_in(printed)
    assert not scene.mark.found_in(in_redis)
    failed = last_words(scene.redis)
    assert len(failed) >= scene.count(Delivery.status == "dead")
    assert not [scene.mark.found_in(words) for words in failed if scene.mark.found_in(words)]
    assert not [delivery_id for delivery_id in scene.accepted if delivery_id not in printed]
    assert "performing job" in printed, "the logs are not at DEBUG"


def last_words(redis: Redis) -> list[str]:
    """Why the failed jobs of both boxes failed, as RQ's own tools show it."""
    ids = [job_id for box in BOXES for job_id in Bell(redis).queue(box).failed_job_registry.get_job_ids()]
    results = [Job.fetch(job_id, redis, serializer=JSONSerializer).latest_result() for job_id in ids]
    return [result.exc_string or "" for result in results if result]
