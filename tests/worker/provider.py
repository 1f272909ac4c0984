"""A provider to reconcile with: the sandbox, with hosts that the platform knows."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from devtools.processes import environment
from devtools.sandbox.outgoing import payloads
from devtools.sandbox.server import Sandbox
from meetergo.api import Meetergo, RateLimiter
from models.delivery import Delivery
from tests.worker.harness import Harness
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.provider_appointments import ProviderAppointments
from worker.reconcile.report import ReconcileReport
from worker.reconcile.runner import Reconciler

LISTS = "GET /v4/appointment/paginated"
ME = "GET /v4/user/me"
ONE = "GET /v4/appointment/{id}"
PLENTY = 100_000


class Provider:
    """The sandbox and a harness."""

    def __init__(self, meetergo: Sandbox, harness: Harness) -> None:
        self.meetergo, self.harness = meetergo, harness
        self.ahead = timedelta(0)

    def clock(self) -> datetime:
        """Our clock. Advance it to let time pass."""
        return datetime.now(UTC) + self.ahead

    def environment(self, **settings: str) -> dict[str, str]:
        """Settings for a process that uses the same stores and sandbox."""
        services = self.harness.services
        stores = {
            "DATABASE_URL": services.database.engine.url.render_as_string(hide_password=False),
            "REDIS_URL": os.environ["REDIS_URL"],
        }
        api = {"MEETERGO_API_URL": self.meetergo.url, "MEETERGO_API_KEY": self.meetergo.key}
        return environment({**stores, **api, **settings})

    def client(self, key: str | None = None, user_id: str | None = None, **more: Any) -> Meetergo:
        """Open a client that never waits, neither for the rate limiter nor between attempts."""
        waits = {"rate_limiter": RateLimiter(per_minute=PLENTY), "sleep": lambda _: None}
        return Meetergo(key or self.meetergo.key, user_id=user_id, base_url=self.meetergo.url, **waits, **more)

    def reconciler(self, key: str | None = None, user_id: str = "") -> Reconciler:
        services = self.harness.services
        local_bookings = LocalBookings(services.database, services.job_queue, services.inbox.cipher, "default")
        appointments = ProviderAppointments(self.client(key, user_id or None), user_id)
        return Reconciler(local_bookings, appointments, self.clock, timedelta(days=90))

    def reconcile(self, *, key: str | None = None, user_id: str = "", **how: Any) -> ReconcileReport:
        """Reconcile once, and process the deliveries."""
        reconciler = self.reconciler(key, user_id)
        with reconciler.provider_appointments.client:
            report = reconciler.run(**how)
        self.process_due()
        return report

    def process_due(self) -> None:
        """Process what is due, by our clock."""
        inbox = replace(self.harness.services.inbox, clock=self.clock)
        while inbox.process_due():
            pass

    def add_host(self, number: int = 1, **columns: Any) -> dict[str, Any]:
        host = self.meetergo.actions.add_host(f"host-{number}@example.com")
        self.harness.add_user(external_id=str(number), meetergo_user_id=host["userId"], **columns)
        return host

    def book(self, host: dict[str, Any], number: int = 0, **said: Any) -> str:
        """Book an appointment with a host, in the half hour with this number."""
        booked = self.meetergo.actions.book(host["meetingTypeId"], free_start(number), GUEST, **said)
        return str(booked["appointmentId"])

    def share(self, host: dict[str, Any], spots: int = 3) -> None:
        """Turn the host's meetings into group meetings."""
        self.meetergo.meeting_types[host["meetingTypeId"]]["spots"] = spots

    def deliver_all(self) -> None:
        """Deliver every webhook that the sandbox would send for the current appointments."""
        for record in self.meetergo.appointments.values():
            self.harness.deliver(webhook(self.meetergo, record))
        self.harness.process_due()

    def reconciled(self) -> list[Delivery]:
        return [row for row in self.harness.all(Delivery) if row.source == "reconcile"]


GUEST = "guest@example.com"


def webhook(meetergo: Sandbox, record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the webhook for an appointment's current state."""
    event = "booking_cancelled" if record["isCancelled"] else "booking_created"
    make = payloads.cancelled if record["isCancelled"] else payloads.created
    body: dict[str, Any] = json.loads(json.dumps(make(meetergo.company, record)))
    return {"webhookType": event, **body, **changes}


def free_start(number: int = 0) -> datetime:
    """Yield half hours within everyone's opening hours, from next Monday on."""
    now = datetime.now(UTC)
    monday = now.replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=7 - now.weekday())
    day, half_hour = divmod(number, 10)
    week, weekday = divmod(day, 5)
    return monday + timedelta(weeks=week, days=weekday, minutes=30 * half_hour)
