"""The local side of a reconciliation: known bookings, and the deliveries that correct them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from models.account import booking_key, is_of, meetergo_id
from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.redis import deferred_deliveries
from worker.reconcile.synthetic_delivery import SyntheticDelivery


@dataclass(frozen=True)
class LocalBookings:
    """Reads bookings, and ingests missed changes like webhooks.

    Attributes:
        database: the database with the bookings.
        job_queue: triggers the inbox.
        cipher: encrypts the deliveries.
        account: the account whose bookings these are.
    """

    database: Database
    job_queue: JobQueue
    cipher: BodyCipher
    account: str

    def key(self, booking_id: str) -> str:
        """Return the key of the booking with this id at meetergo."""
        return booking_key(self.account, booking_id)

    def known(self, ids: Sequence[str]) -> dict[str, Booking]:
        """Return the known bookings of these ids at meetergo, by id."""
        with self.database.read_only() as session:
            found = Booking.by_ids(session, [self.key(each) for each in ids])
        return {meetergo_id(self.account, key): booking for key, booking in found.items()}

    def confirmed_ids(self, host_id: str, since: datetime, until: datetime | None) -> list[str]:
        """Return ids at meetergo of confirmed bookings of a host that start between two times."""
        with self.database.read_only() as session:
            query = select(Booking.id).where(
                *is_of(Booking, self.account),
                Booking.status == "confirmed",
                Booking.starts_at >= since,
                Booking.is_hosted_by(session, host_id),
            )
            if until:
                query = query.where(Booking.starts_at <= until)
            keys = session.scalars(query.order_by(Booking.starts_at))
            return [meetergo_id(self.account, key) for key in keys]

    def count_undelivered(self, keys: Sequence[str]) -> int:
        """Count bookings that no webhook reported; 0 while pending webhooks may still report them.

        Raises:
            RedisError, SQLAlchemyError: a store is down.
        """
        if not keys or deferred_deliveries.read(self.job_queue.redis).count:
            return 0
        is_webhook = Delivery.source == "webhook"
        is_unread = Delivery.booking_id.is_(None)
        is_own = is_of(Delivery, self.account)
        unread = select(Delivery.id).where(Delivery.has_status("pending"), is_unread, is_webhook, *is_own)
        reported = select(Delivery.booking_id).where(Delivery.booking_id.in_(keys), is_webhook)
        with self.database.read_only() as session:
            if session.scalar(unread.limit(1)) is not None:
                return 0
            return len(set(keys) - set(session.scalars(reported)))

    def ingest(self, deliveries: Sequence[SyntheticDelivery]) -> None:
        """Store the deliveries that were missed, and trigger the inbox.

        A delivery that was done before is replayed, because something has undone it since. So is a dead one: nothing
        else would retry it, and the cause may be fixed. It counts as received when meetergo was asked.
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
            for stored in session.scalars(handled.order_by(Delivery.id).with_for_update()):
                stored.replay(asked_at[stored.id])
                stored.received_at = asked_at[stored.id]
            Delivery.accept(session, new_deliveries)
        self.job_queue.trigger_drain("inbox")
