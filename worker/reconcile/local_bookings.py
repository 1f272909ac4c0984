"""The books: our side of a reconciliation. What we know of a booking, and the deliveries that put it right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from models.drift import known_bookings
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from worker.reconcile.synthetic_delivery import SyntheticDelivery


@dataclass(frozen=True)
class LocalBookings:
    """Reads rows, and feeds what was not told in by the front path.

    Attributes:
        database: where they are.
        bell: wakes the inbox.
        vault: seals the deliveries.
        account: whose inbox it is.
    """

    database: Database
    bell: JobQueue
    vault: BodyCipher
    account: str

    def known(self, ids: Sequence[str]) -> dict[str, Booking]:
        """Id -> our row."""
        with self.database.reading() as session:
            return known_bookings(session, ids)

    def confirmed_with(self, host_id: str, since: datetime, until: datetime | None) -> list[str]:
        """The ids of bookings that take place, as far as we know, between two times and with a host."""
        with self.database.reading() as session:
            query = select(Booking.id).where(
                Booking.status == "confirmed",
                Booking.starts_at >= since,
                Booking.is_hosted_by(session, host_id),
            )
            if until:
                query = query.where(Booking.starts_at <= until)
            return list(session.scalars(query.order_by(Booking.starts_at)))

    def feed(self, readings: Sequence[SyntheticDelivery]) -> None:
        """Accepts each reading as the delivery that did not come, and rings.

        One that was handled before is handled again: something has undone it since. So is one that died, since nobody
        else would try it: what killed it may be repaired.
        """
        letters = [
            NewDelivery.of(reading.body, self.account, reading.asked_at, self.vault, source="reconcile")
            for reading in readings
        ]
        asked_at = {letter.id: letter.received_at for letter in letters}
        with self.database.transaction() as session:
            again = select(Delivery).where(
                Delivery.id.in_(asked_at), Delivery.status != "pending", Delivery.body != b""
            )
            for delivery in session.scalars(again.with_for_update()):
                delivery.replay(asked_at[delivery.id])
            Delivery.accept(session, letters)
        self.bell.ring("inbox")
