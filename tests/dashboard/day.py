"""A day of an installation as operators see it: bookings, a hook that broke, hosts nobody mapped, acts of operators."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rq import Worker
from rq.serializers import JSONSerializer
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from devtools.send import samples
from models.account import DEFAULT
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.endpoint import Endpoint
from models.intervention import Intervention
from models.notification import Notification
from models.reconciliation import Reconciliation
from models.run import Run
from operations.runs.store import NewRun, SelectedRow, start_run
from runtime.queue import QUEUES
from runtime.redis import heartbeat
from runtime.signed_address import AddressSigner
from tests.dashboard import platform_hook
from tests.dashboard.conftest import KEY
from tests.worker.harness import Harness

BOOKINGS = 60
HOSTS = ("Jana Brandt", "Mika Holm", "Sofia Lang", "Tom Weiss")
MEETINGS = ("Erstgespräch", "Beratung Riester", "Vorsorge-Check", "Rentenlücke")
STORY = "storied-booking"
"""A booking whose timeline has everything: a failure, a replay, a move, a failed notification."""
HOOK_ERROR = "KeyError at tests/dashboard/platform_hook.py:10 in changed: 'mandate_id'"


def live_through(harness: Harness) -> None:
    """Fill the stores of a harness, whose hook is `platform_hook` and which tries each delivery once."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for number, name in enumerate(HOSTS):
        harness.add_user(
            external_id=str(4711 + number), name=name, email=f"host-{number}@example.com",
            meetergo_user_id=_host(number), language="de", timezone="Europe/Berlin",
        )  # fmt: skip
    harness.process(_created(0, now, STORY))
    harness.deliver(*(_created(number, now) for number in range(BOOKINGS)))
    harness.process_due()
    start, old = now + timedelta(days=3, hours=2), now + timedelta(days=2)
    harness.process(samples.rescheduled(STORY, start, now - timedelta(minutes=40), old, **_details(0)))
    for number in range(3):
        stranger = f"7d1f0c2e-{number:04d}-4b1e-9d57-3f0a62c1e8{number:02d}"
        for each in range(4 - number):
            start = now + timedelta(days=number, hours=3 + each)
            body = samples.created(f"{each}{number}3bd51a-unhosted", start, now, hosts=[], hostIds=[stranger])
            harness.process(body)
    harness.send_all()
    _spread_over_the_day(harness)
    platform_hook.IS_BROKEN[0] = True
    harness.deliver(*_later_webhooks(now))
    harness.process_due()
    platform_hook.IS_BROKEN[0] = False
    _go_wrong(harness)
    _record_operation(harness)


def _later_webhooks(now: datetime) -> Iterator[dict[str, Any]]:
    for number in range(24):
        created = _created(number, now)
        start, at = datetime.fromisoformat(created["start"]), now - timedelta(minutes=number)
        if number % 4 == 3:
            yield _created(number + BOOKINGS, now)
        elif number % 4 == 2:
            yield samples.cancelled(created["id"], start, at)
        else:
            later = start + timedelta(days=1, hours=number % 3)
            yield samples.rescheduled(created["id"], later, at, start, **_details(number))


def _host(number: int) -> str:
    return f"f58ab1f4-{number % len(HOSTS):04d}-5169-ba9b-0df087475ee1"


def _details(number: int) -> dict[str, Any]:
    return {
        "hosts": [{"id": _host(number)}],
        "hostIds": [_host(number)],
        "meetingType": {"id": "t1", "meetingInfo": {"name": MEETINGS[number % len(MEETINGS)], "duration": 30}},
        "attendees": [samples.guest(number)],
    }


def _created(number: int, now: datetime, booking_id: str = "") -> dict[str, Any]:
    start = (now + timedelta(days=2 + number % 9)).replace(hour=8 + number % 9, minute=30 * (number % 2), second=0)
    unique = booking_id or f"{number * 7919 % 65536:04x}c0de-{number:03d}-4f1a-9d57-3f0a62c1e8aa"
    return samples.created(unique, start, now - timedelta(hours=3), **_details(number))


def _spread_over_the_day(harness: Harness) -> None:
    """Move what was just received into the last 24 hours, denser in the end."""
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        rows = session.scalars(select(Delivery).order_by(Delivery.received_at, Delivery.id)).all()
        for number, row in enumerate(rows):
            row.received_at = now - timedelta(hours=23) * (1 - number / len(rows)) ** 2 - timedelta(seconds=30)
            row.ended_at = row.received_at + timedelta(milliseconds=40 + number * 37 % 400)
            caused = BookingChange.delivery_id == row.id
            session.execute(update(BookingChange).where(caused).values(at=row.ended_at))
            sent, notified = row.ended_at + timedelta(seconds=1), Notification.delivery_id == row.id
            session.execute(update(Notification).where(notified).values(created_at=sent, ended_at=sent))
        session.execute(update(Booking).values(updated_at=now - timedelta(hours=2)))
        session.execute(update(Notification).values(channel="mail", recipient="host@example.com"))


def _go_wrong(harness: Harness) -> None:
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        dead = session.scalars(select(Delivery).where(Delivery.status == "dead").order_by(Delivery.id)).all()
        for number, row in enumerate(dead):
            row.received_at = now - timedelta(minutes=2 * number + 5)
            row.ended_at = row.received_at + timedelta(minutes=1)
            if number % 8 == 7:
                row.status, row.attempts, row.ended_at = "pending", 2, None
                row.last_error, row.due_at = "TimeoutError: no answer in 5 s", now + timedelta(minutes=4)
        _tell_the_story(session, now)
        failed = session.scalars(select(Notification).where(Notification.booking_id != STORY).limit(3)).all()
        for sent in failed:
            sent.status, sent.attempts, sent.last_error = "dead", 12, "550 mailbox unavailable"


def _tell_the_story(session: Session, now: datetime) -> None:
    first, second = session.scalars(
        select(Delivery).where(Delivery.booking_id == STORY).order_by(Delivery.received_at)
    ).all()
    died, replayed = now - timedelta(hours=2), now - timedelta(hours=1)
    for row, minutes in ((first, 150), (second, 40)):
        row.received_at = now - timedelta(minutes=minutes)
        row.status, row.last_error = "done", None
    first.ended_at, second.ended_at = replayed + timedelta(seconds=1), second.received_at + timedelta(milliseconds=80)
    session.add(_attempt(first.received_at, 1, "pending", HOOK_ERROR, delivery_id=first.id))
    session.add(_attempt(died, 12, "dead", HOOK_ERROR, delivery_id=first.id))
    Intervention.record(session, "replayed", first, replayed, by="ada", reason="hook repaired (run 1)")
    for change, row in zip(
        session.scalars(
            select(BookingChange).where(BookingChange.booking_id == STORY).order_by(BookingChange.revision)
        ).all(),
        (first, second),
        strict=True,
    ):
        change.at = row.ended_at
    for sent, row in zip(
        session.scalars(select(Notification).where(Notification.booking_id == STORY).order_by(Notification.id)).all(),
        (first, second),
        strict=True,
    ):
        assert row.ended_at
        sent.created_at, sent.ended_at = row.ended_at, row.ended_at + timedelta(seconds=2)


def _attempt(at: datetime, number: int, outcome: str, error: str, **row: Any) -> FailedAttempt:
    return FailedAttempt(at=at, number=number, outcome=outcome, error=error, **row)


def _record_operation(harness: Harness) -> None:
    now, redis = datetime.now(UTC), harness.services.job_queue.redis
    for name in QUEUES:
        Worker([harness.services.job_queue.queue(name)], connection=redis, serializer=JSONSerializer).register_birth()
    for task in heartbeat.TASKS:
        heartbeat.record(redis, task, datetime.now(UTC) + timedelta(minutes=5), timedelta(minutes=9))
    with harness.services.database.transaction() as session:
        Endpoint.save(session, AddressSigner([KEY]).fingerprints("default")[0], "7", ["booking_created"], now, DEFAULT)
        for number in range(6):
            at = now - timedelta(minutes=4 + 10 * number)
            session.add(
                Reconciliation(
                    started_at=at, ended_at=at + timedelta(seconds=9), hosts=4, appointments=64, missed=number % 3 == 2
                )
            )
        rows = [SelectedRow(row.id, row.booking_id or "", row.ended_at) for row in session.scalars(select(Delivery))]
        for by, reason, number in (("ada", "hook repaired", 12), ("bruno", "mailbox was full", 3)):
            new = NewRun("replay", "deliveries", by, reason, rows[:number], {"status": "dead"})
            _end(start_run(session, new, now), now, number)
        new = NewRun("ignore", "deliveries", "ada", "a test of theirs", rows[:5], {"status": "dead"})
        start_run(session, new, now)
        Intervention.record_act(session, "mapped", now, by="bruno", reason="host 4712: new colleague", account=DEFAULT)


def _end(run: Run, now: datetime, number: int) -> None:
    run.status, run.position, run.changed, run.outcome = "done", number, number, {"done": number}
    run.started_at, run.ended_at = now, now
