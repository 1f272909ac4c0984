"""The verdict: what the ledger and the sinks know, held against what the database says."""

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
from models.booking import Booking, BookingChange
from models.delivery import Delivery, delivery_id
from models.notification import Notification
from models.retryable import ENDED_ITS_WORKER
from runtime.database import Database
from runtime.encryption import BodyCipher
from tests.faults.death import DEADLY_NEWS
from tests.faults.ledger import Ledger
from tests.faults.receptions import Receptions
from tests.faults.stories import BOOKED_AT, Story

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

    def promise(self, holds: bool, otherwise: str) -> None:
        """Notes a promise that does not hold."""
        if not holds:
            self.broken.append(otherwise)


def wait_for_rest(database: Database, ledger: Ledger) -> str:
    """Returns when nothing waits any more, with nothing; or with what still waits when it lost patience."""
    ends = time.monotonic() + LONGEST_WAIT.total_seconds()
    while True:
        unrest = _unrest(database, ledger)
        if not unrest or time.monotonic() > ends:
            return unrest
        time.sleep(0.2)


def _unrest(database: Database, ledger: Ledger) -> str:
    try:
        with database.reading() as session:
            ended = set(session.scalars(select(Delivery.id).where(Delivery.status != "pending")))
            owed = session.scalar(select(func.count()).where(Notification.status == "pending"))
    except SQLAlchemyError as error:
        return type(error).__name__
    waiting = len(ledger.kept.keys() - ended)
    return f"{waiting} deliveries and {owed} notifications are still waiting" if waiting or owed else ""


def judge(
    database: Database,
    vault: BodyCipher,
    ledger: Ledger,
    stories: Sequence[Story],
    receptions: Receptions,
    channels: int,
) -> Verdict:
    """Everything that can be seen once all is at rest."""
    verdict = Verdict(answered=len(ledger.kept), slowest=ledger.slowest(), refused=ledger.count(503))
    with database.reading() as session:
        bodies = _judge_deliveries(session, vault, verdict, ledger)
        _judge_bookings(session, verdict, bodies, stories, set(ledger.kept))
        _judge_news(session, verdict, receptions, channels)
    verdict.repeated, verdict.repeated_with_same_id = receptions.repeats()
    verdict.promise(not ledger.strange, f"strange answers of the door: {ledger.strange[:3]}")
    verdict.promise(not receptions.strange, f"strange news: {receptions.strange[:3]}")
    verdict.promise(not receptions.out_of_order(), f"{receptions.out_of_order()} news came after later ones")
    return verdict


def _judge_deliveries(session: Session, vault: BodyCipher, verdict: Verdict, ledger: Ledger) -> dict[str, bytes]:
    """What was answered 200 is there and has ended; what is there was sent, and is what was sent."""
    rows = {row.id: row for row in session.scalars(select(Delivery))}
    lost = [key for key in ledger.kept if key not in rows or rows[key].status == "pending"]
    dead = [row.last_error for row in rows.values() if row.status == "dead" and row.id not in ledger.deadly]
    ends = {(row.status, row.last_error) for row in rows.values() if row.id in ledger.deadly}
    verdict.promise(ends <= {("dead", ENDED_ITS_WORKER)}, f"what ends its worker is not dead in the end: {ends}")
    verdict.lost = len(lost)
    verdict.promise(not lost, f"{len(lost)} deliveries lost: {[key[:8] for key in lost[:3]]}")
    verdict.promise(not dead, f"{len(dead)} deliveries are dead: {dead[:3]}")
    verdict.promise(ledger.sent.keys() == ledger.kept.keys(), f"{len(ledger.sent) - len(ledger.kept)} never got a 200")
    bodies = {key: vault.open(row.sealed) for key, row in rows.items()}
    verdict.promise(bodies.items() <= ledger.sent.items(), "something is stored that nobody sent")
    return {key: body for key, body in bodies.items() if key not in ledger.deadly}


def _judge_bookings(
    session: Session, verdict: Verdict, bodies: Mapping[str, bytes], stories: Sequence[Story], kept: set[str]
) -> None:
    """Each row is what its facts say, as we replay them here, and what its story knows of its end."""
    heard: dict[str, list[BookingEvent]] = defaultdict(list)
    for body in bodies.values():
        event = events.read(body, BOOKED_AT)
        assert isinstance(event, BookingEvent)
        heard[event.booking_id].append(event)
    rows = {row.id: row for row in session.scalars(select(Booking))}
    changes = _replayed_changes(session)
    wrong = {key for key, facts in heard.items() if key not in rows or rows[key].seen() != _replayed(facts, rows[key])}
    wrong |= {key for key in heard if key in rows and changes.get(key) != rows[key].seen()}
    for story in stories:
        if {delivery_id(body) for body in story.bodies} <= kept and not _ends_well(rows, story):
            wrong.add(story.booking_id)
    wrong |= rows.keys() - heard.keys()
    verdict.wrong = len(wrong)
    verdict.promise(not wrong, f"{len(wrong)} bookings are wrong: {sorted(wrong)[:3]}")


def _replayed(heard: Sequence[BookingEvent], row: Booking) -> dict[str, Any]:
    booking = Booking(id=row.id, status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={})
    booking.version, booking.revision, booking.as_of = "", 0, BOOKED_AT
    for event in sorted(heard, key=lambda event: event.version):
        booking.learn(event, lambda hosts, _: 1 if samples.HOST_ID in hosts else None, BOOKED_AT)
    return booking.seen()


def _replayed_changes(session: Session) -> dict[str, dict[str, Any]]:
    replayed: dict[str, dict[str, Any]] = defaultdict(dict)
    for change in session.scalars(select(BookingChange).order_by(BookingChange.booking_id, BookingChange.revision)):
        replayed[change.booking_id] |= change.after
    return replayed


def _ends_well(rows: Mapping[str, Booking], story: Story) -> bool:
    row = rows.get(story.booking_id)
    return row is not None and (row.status, row.starts_at, len(row.attendees)) == (
        story.ending.status,
        story.ending.starts_at,
        story.ending.guests,
    )


def _judge_news(session: Session, verdict: Verdict, receptions: Receptions, channels: int) -> None:
    """Every change that is news has its notifications, one by each channel, and each reached its sink."""
    owed: Counter[tuple[str, str]] = Counter()
    for change in session.scalars(select(BookingChange)):
        owed.update((change.booking_id, kind) for kind in change.news)
    rows = session.scalars(select(Notification)).all()
    written = Counter((row.booking_id, row.kind) for row in rows)
    unwritten = sum(max(0, channels * number - written[key]) for key, number in owed.items())
    deadly = [row for row in rows if row.booking_id.startswith(DEADLY_NEWS)]
    ends = {(row.status, row.last_error) for row in deadly}
    verdict.promise(ends <= {("dead", ENDED_ITS_WORKER)}, f"what ends its sender is not dead in the end: {ends}")
    unheard = {row.message_id for row in rows if row not in deadly} - receptions.ids()
    verdict.missing = unwritten + len(unheard)
    verdict.promise(not unwritten, f"{unwritten} news were never owed")
    verdict.promise(not unheard, f"{len(unheard)} news never came: {sorted(unheard)[:3]}")
    dead = [row.last_error for row in rows if row.status == "dead" and row not in deadly]
    verdict.promise(not dead, f"{len(dead)} notifications are dead: {dead[:3]}")
    unknown = receptions.ids() - {row.message_id for row in rows}
    verdict.promise(not unknown, f"{len(unknown)} news came that nobody owed")
    for booking_id, status in session.execute(select(Booking.id, Booking.status)):
        first, last = owed[booking_id, "created"] + owed[booking_id, "cancelled"], owed[booking_id, "cancelled"]
        is_told = first >= 1 and owed[booking_id, "created"] <= 1 and last == (status == "cancelled")
        verdict.promise(is_told, f"the news of {booking_id} do not tell its story")
