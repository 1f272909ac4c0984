"""Faults of one account, which no other may notice: a flood, and a key that has expired."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from devtools.sandbox.resources import webhooks
from devtools.sandbox.resources.webhooks import NewWebhook
from devtools.send import samples
from models.account import Account, booking_key
from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from models.incident import Incident
from runtime.database import Database
from runtime.encryption import BodyCipher
from tests.faults.scenarios import AHEAD, BOOKED_AT
from tests.worker.provider import free_start

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ColumnElement

    from devtools.sandbox.server import Sandbox
    from tests.faults.context import FaultContext

NAME = "other"
FLOOD, FLOODED_BOOKINGS, FLOOD_PAGE = 10_000, 100, 200
LONGEST_DELAY = timedelta(seconds=10)
"""Promise: the flood of one account delays no other account's delivery by more than this."""
FLOOD_TIMEOUT_SECONDS = 300
EXPIRED_BOOKINGS = 5
EVENTS = ["booking_created", "booking_rescheduled", "booking_cancelled"]


def add_account(database: Database, cipher: BodyCipher, meetergo: "Sandbox | None") -> None:
    """Add another account: the sandbox's second company, if there is one, with a key that has expired."""
    now = datetime.now(UTC)
    row = Account(name=NAME, is_active=True, created_at=now, updated_at=now)
    if meetergo:
        other = meetergo.accounts[1]
        row.company_id = other.company.id
        row.set_api_key(other.key, cipher)
        meetergo.expire(other.key)
    with database.transaction() as session:
        session.add(row)


def flood_of_one_account(context: "FaultContext") -> None:
    """10,000 deliveries of one account wait while those of another arrive."""
    database = Database(context.store.url)
    now = datetime.now(UTC)
    flood = [NewDelivery.from_body(_link_changes(number), NAME, now, context.cipher) for number in range(FLOOD)]
    for start in range(0, FLOOD, FLOOD_PAGE):
        with database.transaction() as session:
            Delivery.accept(session, flood[start : start + FLOOD_PAGE])
        database.yield_lock()
    context.load.finish()
    context.when_idle.append(lambda: _judge_flood(context, database))


def _link_changes(number: int) -> bytes:
    """Return a booking with another link each time: a change without notifications."""
    booking, change = number % FLOODED_BOOKINGS, number // FLOODED_BOOKINGS
    link = {"channel": "zoom", "meetingLink": f"https://zoom.example/j/{change}"}
    at = BOOKED_AT + timedelta(seconds=change)
    return json.dumps(samples.created(f"booking-{booking}", BOOKED_AT + AHEAD, at, meetingInfo=link)).encode()


def _judge_flood(context: "FaultContext", database: Database) -> None:
    with database.read_only() as session:
        times = session.execute(select(Delivery.received_at, Delivery.ended_at).where(Delivery.account != NAME)).all()
    slowest = max((row.ended_at - row.received_at for row in times), default=timedelta(0))
    if slowest > LONGEST_DELAY:
        context.notes.append(f"the flood of one account delayed another's delivery by {slowest.total_seconds():.1f} s")
    ends = time.monotonic() + FLOOD_TIMEOUT_SECONDS
    while _count(database, Delivery.status != "done"):
        if time.monotonic() > ends:
            context.notes.append("the flood was not processed")
            break
        time.sleep(0.2)
    last = f"https://zoom.example/j/{FLOOD // FLOODED_BOOKINGS - 1}"
    with database.read_only() as session:
        links = session.scalars(select(Booking.meeting_link).where(Booking.account == NAME)).all()
    if links != [last] * FLOODED_BOOKINGS:
        context.notes.append("a booking of the account that flooded is wrong")
    database.close()


def key_of_one_account_expires(context: "FaultContext") -> None:
    """Cancels of one account cannot be confirmed until it has a new key; an alarm names it."""
    assert context.meetergo
    other, database = context.meetergo.accounts[1], Database(context.store.url)
    host, path = context.load.where[0], context.path_of(NAME)
    wanted = {"endpoint": f"http://{host}{path}", "eventTypes": EVENTS}
    webhooks.create(other.company, NewWebhook.model_validate(wanted))
    kind = other.actions.add_host("other@example.com")["meetingTypeId"]
    booked = [
        other.actions.book(kind, free_start(number), f"guest-{number}@example.com")["appointmentId"]
        for number in range(EXPIRED_BOOKINGS)
    ]
    for booking_id in booked:
        other.actions.cancel(booking_id)
    context.meetergo.drain()
    context.until(lambda: _refused(database), "no incident names the account whose key is refused")
    context.until(lambda: _count(database, Delivery.attempts > 0) == len(booked), "the cancels were not tried")
    if "cancelled" in _states(database, booked):
        context.notes.append("a cancel was applied that meetergo could not confirm")
    context.load.finish()
    context.when_idle.append(lambda: _renew(context, database, booked))


def _renew(context: "FaultContext", database: Database, booked: list[str]) -> None:
    """Give the account a new key, as `accounts set` does, and wait until its cancels are applied."""
    assert context.meetergo
    with database.transaction() as session:
        row = session.get_one(Account, NAME)
        row.set_api_key(context.meetergo.new_key(context.meetergo.accounts[1].company), context.cipher)
    is_over = ["cancelled"] * len(booked)
    context.until(lambda: _states(database, booked) == is_over, "the cancels were not applied with the new key")
    context.until(lambda: not _count(database, Delivery.status != "done"), "a delivery of the account is not done")
    database.close()


def _states(database: Database, booked: list[str]) -> list[str]:
    keys = [booking_key(NAME, booking_id) for booking_id in booked]
    with database.read_only() as session:
        return list(session.scalars(select(Booking.status).where(Booking.id.in_(keys))))


def _refused(database: Database) -> bool:
    with database.read_only() as session:
        query = select(Incident.id).where(Incident.account == NAME, Incident.kind == "api_key_refused")
        return session.scalar(query) is not None


def _count(database: Database, condition: "ColumnElement[bool]") -> int:
    with database.read_only() as session:
        return session.scalar(select(func.count()).where(Delivery.account == NAME, condition)) or 0
