"""The verdict: the sent deliveries and received messages compared with the database."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from devtools.send import samples
from meetergo import events
from meetergo.events import BookingEvent
from models.account import DEFAULT
from models.booking import Booking, BookingChange
from models.delivery import Delivery, delivery_id
from models.notification import Notification
from models.retryable import WORKER_DIED
from runtime.database import Database
from runtime.encryption import BodyCipher
from tests.faults.received_messages import ReceivedMessages
from tests.faults.scenarios import READ_AT, BookingScenario
from tests.faults.self_kill import POISON_NOTIFICATION
from tests.faults.sent_deliveries import SentDeliveries

LONGEST_WAIT = timedelta(seconds=200)


@dataclass
class Verdict:
    """The numbers of one fault, and every broken promise in words."""

    answered: int = 0
    lost: int = 0
    wrong: int = 0
    missing: int = 0
    repeated: int = 0
    repeated_with_same_id: int = 0
    recovered: float | None = None
    slowest: float = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    def promise(self, condition: bool, failure: str) -> None:
        """Record a promise unless it holds."""
        if not condition:
            self.broken.append(failure)


def wait_until_idle(database: Database, sent_deliveries: SentDeliveries) -> str:
    """Wait until nothing is pending; return what still is when time is up."""
    ends = time.monotonic() + LONGEST_WAIT.total_seconds()
    while True:
        pending = _pending(database, sent_deliveries)
        if not pending or time.monotonic() > ends:
            return pending
        time.sleep(0.2)


def _pending(database: Database, sent_deliveries: SentDeliveries) -> str:
    try:
        with database.read_only() as session:
            ended = set(session.scalars(select(Delivery.id).where(Delivery.status != "pending")))
            is_waiting = (Notification.status == "pending", Notification.account == DEFAULT)
            expected_notifications = session.scalar(select(func.count()).where(*is_waiting))
    except SQLAlchemyError as error:
        return type(error).__name__
    waiting = len(sent_deliveries.kept.keys() - ended)
    return (
        f"{waiting} deliveries and {expected_notifications} notifications are still waiting"
        if waiting or expected_notifications
        else ""
    )


def judge(
    database: Database,
    cipher: BodyCipher,
    sent_deliveries: SentDeliveries,
    scenarios: Sequence[BookingScenario],
    received_messages: ReceivedMessages,
    channels: int,
) -> Verdict:
    """Judge everything once nothing is pending."""
    verdict = Verdict(
        answered=len(sent_deliveries.kept), slowest=sent_deliveries.slowest(), refused=sent_deliveries.count(503)
    )
    with database.read_only() as session:
        bodies = _judge_deliveries(session, cipher, verdict, sent_deliveries)
        _judge_bookings(session, verdict, bodies, scenarios, set(sent_deliveries.kept))
        _judge_notifications(session, verdict, received_messages, channels)
    verdict.repeated, verdict.repeated_with_same_id = received_messages.repeats()
    verdict.promise(not sent_deliveries.strange, f"unexpected responses of the receiver: {sent_deliveries.strange[:3]}")
    verdict.promise(not received_messages.strange, f"unexpected messages: {received_messages.strange[:3]}")
    verdict.promise(
        not received_messages.out_of_order(), f"{received_messages.out_of_order()} messages came after later ones"
    )
    return verdict


def _judge_deliveries(
    session: Session, cipher: BodyCipher, verdict: Verdict, sent_deliveries: SentDeliveries
) -> dict[str, bytes]:
    """Check that everything answered 200 is stored and ended, and that everything stored was sent.

    What other accounts have is judged by the faults that need them.
    """
    rows = {row.id: row for row in session.scalars(select(Delivery).where(Delivery.account == DEFAULT))}
    lost = [key for key in sent_deliveries.kept if key not in rows or rows[key].status == "pending"]
    dead = [row.last_error for row in rows.values() if row.status == "dead" and row.id not in sent_deliveries.deadly]
    ends = {(row.status, row.last_error) for row in rows.values() if row.id in sent_deliveries.deadly}
    verdict.promise(ends <= {("dead", WORKER_DIED)}, f"a delivery that ends its worker is not dead in the end: {ends}")
    verdict.lost = len(lost)
    verdict.promise(not lost, f"{len(lost)} deliveries lost: {[key[:8] for key in lost[:3]]}")
    verdict.promise(not dead, f"{len(dead)} deliveries are dead: {dead[:3]}")
    verdict.promise(
        sent_deliveries.sent.keys() == sent_deliveries.kept.keys(),
        f"{len(sent_deliveries.sent) - len(sent_deliveries.kept)} never got a 200",
    )
    bodies = {key: cipher.decrypt(row.encrypted_body) for key, row in rows.items()}
    verdict.promise(bodies.items() <= sent_deliveries.sent.items(), "something is stored that was not sent")
    return {key: body for key, body in bodies.items() if key not in sent_deliveries.deadly}


def _judge_bookings(
    session: Session,
    verdict: Verdict,
    bodies: Mapping[str, bytes],
    scenarios: Sequence[BookingScenario],
    kept: set[str],
) -> None:
    """Check that each row agrees with a replay of its events and with the end of its scenario."""
    events_by_booking: dict[str, list[BookingEvent]] = defaultdict(list)
    for body in bodies.values():
        event = events.read(body, READ_AT)
        assert isinstance(event, BookingEvent)
        events_by_booking[event.booking_id].append(event)
    rows = {row.id: row for row in session.scalars(select(Booking).where(Booking.account == DEFAULT))}
    changes = replayed_changes(session)
    wrong = {
        key
        for key, facts in events_by_booking.items()
        if key not in rows or rows[key].public_columns() != replayed(facts, rows[key])
    }
    wrong |= {key for key in events_by_booking if key in rows and changes.get(key) != rows[key].public_columns()}
    for scenario in scenarios:
        if {delivery_id(body, DEFAULT) for body in scenario.bodies} <= kept and not _ends_well(rows, scenario):
            wrong.add(scenario.booking_id)
    wrong |= rows.keys() - events_by_booking.keys()
    verdict.wrong = len(wrong)
    verdict.promise(not wrong, f"{len(wrong)} bookings are wrong: {sorted(wrong)[:3]}")


def replayed(events_by_booking: Sequence[BookingEvent], row: Booking) -> dict[str, Any]:
    booking = Booking(id=row.id, status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={})
    booking.version, booking.revision, booking.as_of = "", 0, READ_AT
    for event in sorted(events_by_booking, key=lambda event: event.version):
        booking.apply(event, lambda hosts, _: 1 if samples.HOST_ID in hosts else None, READ_AT)
    return booking.public_columns()


def replayed_changes(session: Session) -> dict[str, dict[str, Any]]:
    by_booking: dict[str, dict[str, Any]] = defaultdict(dict)
    for change in session.scalars(select(BookingChange).order_by(BookingChange.booking_id, BookingChange.revision)):
        by_booking[change.booking_id] |= change.after
    return by_booking


def _ends_well(rows: Mapping[str, Booking], scenario: BookingScenario) -> bool:
    row = rows.get(scenario.booking_id)
    return row is not None and (row.status, row.starts_at, len(row.attendees)) == (
        scenario.expected.status,
        scenario.expected.starts_at,
        scenario.expected.guests,
    )


def _judge_notifications(
    session: Session, verdict: Verdict, received_messages: ReceivedMessages, channels: int
) -> None:
    """Check that every change has its notifications, one per channel, and that each reached its sink."""
    expected_notifications: Counter[tuple[str, str]] = Counter()
    for change in session.scalars(select(BookingChange)):
        expected_notifications.update((change.booking_id, kind) for kind in change.notification_kinds)
    rows = session.scalars(select(Notification)).all()
    written = Counter((row.booking_id, row.kind) for row in rows)
    unwritten = sum(max(0, channels * number - written[key]) for key, number in expected_notifications.items())
    deadly = [row for row in rows if row.booking_id.startswith(POISON_NOTIFICATION)]
    ends = {(row.status, row.last_error) for row in deadly}
    verdict.promise(ends <= {("dead", WORKER_DIED)}, f"a notification that ends its sender is not dead: {ends}")
    unreceived = {row.message_id for row in rows if row not in deadly} - received_messages.ids()
    verdict.missing = unwritten + len(unreceived)
    verdict.promise(not unwritten, f"{unwritten} notifications were never inserted")
    verdict.promise(not unreceived, f"{len(unreceived)} notifications were never received: {sorted(unreceived)[:3]}")
    dead = [row.last_error for row in rows if row.status == "dead" and row not in deadly]
    verdict.promise(not dead, f"{len(dead)} notifications are dead: {dead[:3]}")
    unknown = received_messages.ids() - {row.message_id for row in rows}
    verdict.promise(not unknown, f"{len(unknown)} messages have no notification")
    for booking_id, status in session.execute(select(Booking.id, Booking.status)):
        first, last = (
            expected_notifications[booking_id, "created"] + expected_notifications[booking_id, "cancelled"],
            expected_notifications[booking_id, "cancelled"],
        )
        is_complete = (
            first >= 1 and expected_notifications[booking_id, "created"] <= 1 and last == (status == "cancelled")
        )
        verdict.promise(is_complete, f"notifications of {booking_id} contradict its changes")
