"""A harness for the worker: delivers bodies, processes what is due, and reads the result."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from models.account import Account
from models.booking import Booking, BookingChange
from models.delivery import Delivery, NewDelivery, Source
from models.notification import Notification
from models.platform_user import PlatformUser
from worker.services import Services

START = datetime(2124, 1, 15, 8, 0, tzinfo=UTC)
AT = datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
"""The samples' meeting, which is in the future during the tests, and its time of booking."""


class Harness:
    """The services on real stores, driven by hand."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def deliver(
        self, *bodies: dict[str, Any] | bytes, source: Source = "webhook", account: str = "default"
    ) -> list[str]:
        now, raw = (
            datetime.now(UTC),
            [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies],
        )
        with self.services.database.transaction() as session:
            deliveries = [NewDelivery.from_body(body, account, now, self.services.inbox.cipher, source) for body in raw]
            Delivery.accept(session, deliveries)
        return [delivery.id for delivery in deliveries]

    def process_due(self) -> None:
        while self.services.inbox.process_due():
            pass

    def process(self, *bodies: dict[str, Any] | bytes, account: str = "default") -> None:
        """Deliver bodies one after the other, and process each."""
        for body in bodies:
            self.deliver(body, account=account)
            self.process_due()

    def send_all(self) -> None:
        while self.services.outbox.process_due():
            pass

    def booking(self, booking_id: str = "b1") -> Booking:
        with self.services.database.read_only() as session:
            return session.get_one(Booking, booking_id)

    def all(self, rows: type[Any]) -> list[Any]:
        with self.services.database.read_only() as session:
            return list(session.scalars(select(rows).order_by(rows.id)))

    def notification_kinds(self) -> list[str]:
        return [notification.kind for notification in self.all(Notification)]

    def changes(self) -> list[BookingChange]:
        return self.all(BookingChange)

    def add_account(self, name: str, **columns: Any) -> None:
        now = datetime.now(UTC)
        with self.services.database.transaction() as session:
            session.add(Account(name=name, created_at=now, updated_at=now, **columns))

    def add_user(self, **columns: Any) -> PlatformUser:
        user = PlatformUser(**{"external_id": "1", "name": "The host", "email": "host@example.com", **columns})
        with self.services.database.transaction() as session:
            session.add(user)
        return user


def later(minutes: int) -> datetime:
    return AT + timedelta(minutes=minutes)


def soon(minutes: int) -> datetime:
    """Return the samples' start plus some minutes."""
    return START + timedelta(minutes=minutes)
