"""Local bookings: our side of a reconciliation. What we know of a booking, and the deliveries that put it right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from models.drift import bookings_by_id
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from worker.reconcile.synthetic_delivery import SyntheticDelivery


@dataclass(frozen=True)
class LocalBookings:
    """Reads rows, and feeds what was not told in by the front path.

    Attributes:
        database: where they are.
        job_queue: wakes the inbox.
        cipher: seals the deliveries.
        account: whose inbox it is.
    """

    database: Database
    job_queue: JobQueue
    cipher: BodyCipher
    account: str

    def known(self, ids: Sequence[str]) -> dict[str, Booking]:
        """Id -> our row."""
        with self.database.read_only() as session:
            return bookings_by_id(session, ids)

    def confirmed_ids(self, host_id: str, since: datetime, until: datetime | None) -> list[str]:
        """The ids of bookings that take place, as far as we know, between two times and with a host."""
        with self.database.read_only() as session:
            query = select(Booking.id).where(
                Booking.status == "confirmed",
                Booking.starts_at >= since,
                Booking.is_hosted_by(session, host_id),
            )
            if until:
                query = query.where(Booking.starts_at <= until)
            return list(session.scalars(query.order_by(Booking.starts_at)))

    def ingest(self, deliveries: Sequence[SyntheticDelivery]) -> None:
        """Accepts each reading as the delivery that did not come, and rings.

        One that was handled before is handled again: something has undone it since. So is one that died, since nobody
        else would try it: what killed it may be repaired.
        """
        new_deliveries = [
            NewDelivery.from_body(delivery.body, self.account, delivery.asked_at, self.cipher, source="reconcile")
            for delivery in deliveries
        ]
        asked_at = {new_delivery.id: new_delivery.received_at for new_delivery in new_deliveries}
        with self.database.transaction() as session:
            handled = select(Delivery).where(
                Delivery.id.in_(asked_at), Delivery.status != "pending", Delivery.body != b""
            )
            for stored in session.scalars(handled.with_for_update()):
                stored.replay(asked_at[stored.id])
            Delivery.accept(session, new_deliveries)
        self.job_queue.trigger_drain("inbox")
