"""The long test: a year of bookings over an unreliable network, and after one reconciliation both sides agree.

YEAR_HOSTS and YEAR_BOOKINGS make it longer: see `make year`.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from models.booking import Booking
from models.delivery import Delivery
from models.notification import Notification
from tests.worker.provider import LISTS, Provider
from tests.year.year import Year


@pytest.mark.timeout(1800)
def test_after_one_reconciliation_both_sides_agree(provider: Provider, hosts: dict[str, int], year: Year) -> None:
    year.run()
    provider.process_due()
    fates = Counter(delivery.outcome for delivery in provider.meetergo.deliveries)
    assert fates["dropped"] > 0.05 * fates.total()
    truth = {key: at_meetergo(record, hosts) for key, record in provider.meetergo.appointments.items()}
    assert here(provider) != truth

    findings = provider.reconcile()
    assert here(provider) == truth
    assert findings.is_clean
    assert {drift.kind for drift in findings.drifts} == {"missed", "changed", "cancelled"}
    assert len(provider.reconciled()) == len(findings.drifts) < len(truth) / 2
    assert provider.meetergo.requests[LISTS] < 1.5 * len(hosts)

    notifications = [(row.booking_id, row.kind) for row in provider.harness.all(Notification)]
    assert provider.reconcile().drifts == []
    assert [(row.booking_id, row.kind) for row in provider.harness.all(Notification)] == notifications
    repeated = Counter(item for item in notifications if item[1] in ("created", "cancelled"))
    assert max(repeated.values()) == 1
    assert {row.status for row in provider.harness.all(Delivery)} == {"done"}


def here(provider: Provider) -> dict[str, dict[str, Any]]:
    """Return our rows."""
    return {
        row.id: {
            "status": row.status,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "meeting_type_id": row.meeting_type_id,
            "meeting_name": row.meeting_name,
            "meeting_link": row.meeting_link,
            "location": row.location,
            "attendees": {person["id"]: person for person in row.attendees},
            "host_ids": row.host_ids,
            "cancel_reason": row.cancel_reason,
            "cancelled_by": row.cancelled_by,
            "platform_user_id": row.platform_user_id,
        }
        for row in provider.harness.all(Booking)
    }


def at_meetergo(record: dict[str, Any], hosts: dict[str, int]) -> dict[str, Any]:
    """Return the expected row for an appointment."""
    return {
        "status": "cancelled" if record["isCancelled"] else "confirmed",
        "starts_at": utc(record["start"]),
        "ends_at": utc(record["end"]),
        "meeting_type_id": record["meetingTypeId"],
        "meeting_name": record["meetingInfo"]["name"],
        "meeting_link": record["hostingInfo"]["meetingLink"],
        "location": record["location"],
        "attendees": {person["id"]: person for person in record["attendees"]},
        "host_ids": record["hostIds"],
        "cancel_reason": record["cancel"]["reason"],
        "cancelled_by": record["cancel"]["actionSource"],
        "platform_user_id": hosts[record["hostIds"][0]],
    }


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
