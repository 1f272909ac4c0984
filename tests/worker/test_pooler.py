"""The whole service behind a real PgBouncer 1.18: none of its deliveries is lost or wrong, in any of its modes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from devtools.redis_server import free_port
from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.privacy.erasure import erase
from models.privacy.person import person_from
from models.privacy.retention import prune
from models.search import RowSearch
from operations.replay.dry_run import dry_run
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from runtime.database import Database
from tests.pgbouncer import MISSING, PROGRAM, PgBouncer, pgbouncer
from tests.pooler import add_host, bodies, judge, receive
from tests.runtime.test_pooler import KINDS
from tests.tcp_proxy import proxy
from tests.worker.harness import Harness
from tests.worker.provider import Provider
from worker.maintenance.sweeper import sweep

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]
COUNT = 100
HOOK_CALLS: list[tuple[str, str]] = []


def note_call(session: Session, booking: Booking, change: BookingChange) -> None:
    HOOK_CALLS.append((booking.id, session.execute(text("SHOW lock_timeout")).scalar_one()))


@pytest.fixture(params=KINDS)
def pooler(
    request: pytest.FixtureRequest, database: Database, postgresql_url: str, tmp_path: Path
) -> Iterator[PgBouncer]:
    kind = KINDS[request.param]
    size = "3" if kind["pool_mode"] == "transaction" else "20"
    with pgbouncer(tmp_path, postgresql_url, default_pool_size=size, **kind) as running:
        yield running


@pytest.fixture
def database_url(pooler: PgBouncer) -> str:
    return pooler.url


def test_what_is_received_is_processed_sent_replayed_and_erased(
    open_harness: Callable[..., Harness], database: Database, pooler: PgBouncer, redis_url: str
) -> None:
    harness = open_harness(notify_default="log://", platform_hook=f"{__name__}:note_call")
    HOOK_CALLS.clear()
    services, sent = harness.services, bodies(COUNT)
    add_host(services.database)
    assert receive(pooler.url, redis_url, sent) == {200: COUNT}

    def work(number: int) -> None:
        inbox = replace(services.inbox, worker=f"worker-{number}")
        while inbox.process_due():
            pass

    threads = [Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    harness.process_due()  # what one left to the other
    harness.send_all()
    assert judge(database, sent) == []
    assert {booking_id for booking_id, _ in HOOK_CALLS} == {row.id for row in harness.all(Booking)}
    assert {timeout for _, timeout in HOOK_CALLS} == {"2s"}

    chosen = select_deliveries(services.inbox, RowSearch().deliveries()).chosen
    replay = ReplayService(services, "the operator")
    assert dry_run(replay, chosen).booking_diffs == []
    assert len(replay.replay(chosen, datetime.now(UTC)).ids) == COUNT
    harness.process_due()
    sweep(services, datetime.now(UTC))
    harness.send_all()
    assert judge(database, sent) == []

    assert erase(
        services.database, services.inbox.cipher, person_from("guest-2@example.com"), datetime.now(UTC)
    ).bookings
    with database.read_only() as session:
        left = session.scalars(select(Delivery.body)).all()
    assert not [body for body in left if b"guest-2@" in body]
    assert json.dumps(samples.guest(2)["email"]) not in str([row.attendees for row in harness.all(Booking)])
    keep = {"done": timedelta(0), "dead": timedelta(0)}
    assert prune(services.database, datetime.now(UTC) + timedelta(days=1), keep)["deliveries"] == COUNT


def test_reconcile_finds_what_was_lost(three_hosts: Provider) -> None:
    assert len(three_hosts.reconcile().drifts) == 3
    assert three_hosts.reconcile().drifts == []
    assert len(three_hosts.harness.all(Booking)) == 3


def test_while_the_server_is_down_deliveries_go_to_redis(
    database: Database, postgresql_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with proxy(f"{make_url(postgresql_url).query['host']}/.s.PGSQL.5432") as server:
        behind = f"postgresql+psycopg://postgres@127.0.0.1:{server.port}/postgres"
        with pgbouncer(tmp_path, behind, **KINDS["transaction, strict"]) as running:
            assert receive(running.url, redis_url, bodies(3)) == {200: 3}
            server.target = free_port()
            server.cut()
            later = Database(running.url)
            assert receive(running.url, redis_url, bodies(6)) == {200: 6}
            with pytest.raises(OperationalError), later.transaction() as session:
                session.execute(text("SELECT 1"))
            later.close()
    jobs = Queue("meetergo-inbox-inbox", connection=redis, serializer=JSONSerializer).jobs
    assert [job.func_name for job in jobs].count("worker.jobs.store_deferred") == 6
    with database.read_only() as session:
        assert len(session.scalars(select(Delivery.id)).all()) == 3
