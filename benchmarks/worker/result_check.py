"""The check of a run: the rows before it, and the expected rows after it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import func, select

from benchmarks.bodies import CIPHER
from benchmarks.hosts import add_hosts
from meetergo import events
from meetergo.events import BookingEvent
from models.booking import Booking, BookingChange
from models.delivery import Delivery, NewDelivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.database import Database
from runtime.encryption import BodyCipher

CHUNK_SIZE = 1_000
RECEIVED_INTERVAL = timedelta(milliseconds=1)


class ResultMismatch(Exception):
    """The tables do not agree with the deliveries."""


def fill(database: Database, bodies: Sequence[bytes], *, is_encrypted: bool = True) -> list[str]:
    """Insert platform users for all hosts, and the bodies as pending deliveries, in the order received.

    Returns:
        The ids of the deliveries.
    """
    add_hosts(database)
    rows, ids = _new_deliveries(bodies, CIPHER if is_encrypted else BodyCipher([])), list[str]()
    with database.transaction() as session:
        while page := list(islice(rows, CHUNK_SIZE)):
            Delivery.accept(session, page)
            ids += [row.id for row in page]
    return ids


def _new_deliveries(bodies: Sequence[bytes], cipher: BodyCipher) -> Iterator[NewDelivery]:
    first = datetime.now(UTC) - len(bodies) * RECEIVED_INTERVAL
    for number, body in enumerate(bodies):
        yield NewDelivery.from_body(body, "default", first + number * RECEIVED_INTERVAL, cipher)


def done(database: Database) -> int:
    """Return the number of ended deliveries; `check` says whether they ended well."""
    with database.read_only() as session:
        return session.scalar(select(func.count()).where(Delivery.ended_at.is_not(None))) or 0


def check(database: Database, bodies: Sequence[bytes], *, in_order: bool) -> None:
    """Check that every booking agrees with its newest delivery, belongs to its host, and has a notification.

    Args:
        database: where they are.
        bodies: of all deliveries.
        in_order: whether deliveries were in order: then each is one change and one notification.

    Raises:
        Wrong: something is missing, or too much.
    """
    expected = _expected(bodies)
    with database.read_only() as session:
        statuses = Counter(session.scalars(select(Delivery.status)))
        rows = session.execute(
            select(Booking.id, Booking.status, Booking.starts_at, PlatformUser.external_id).join(PlatformUser)
        )
        found = {row.id: (row.status, row.starts_at, row.external_id) for row in rows}
        counts = {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in (BookingChange, Notification)
        }
    if statuses != {"done": len(bodies)}:
        raise ResultMismatch(f"of {len(bodies)} deliveries these are there: {dict(statuses)}")
    if found != expected:
        wrong = [key for key in expected | found if found.get(key) != expected.get(key)]
        raise ResultMismatch(
            f"{len(wrong)} of {len(expected)} bookings are not as their deliveries say, such as {wrong[0]}"
        )
    fewest = len(bodies) if in_order else len(expected)
    for name, count in counts.items():
        if not fewest <= count <= len(bodies):
            raise ResultMismatch(f"{count} rows in {name}, where {fewest} to {len(bodies)} are right")


def _expected(bodies: Iterable[bytes]) -> dict[str, tuple[str, datetime, str]]:
    """Return booking id -> status, start and host, according to the last delivery."""
    newest: dict[str, tuple[str, datetime, str]] = {}
    for body in bodies:
        event = events.read(body, datetime.now(UTC))
        if isinstance(event, BookingEvent):
            facts = event.facts
            start = datetime.fromisoformat(facts["starts_at"])
            newest[event.booking_id] = (facts.get("status") or "confirmed", start, facts["host_ids"][0])
    return newest
