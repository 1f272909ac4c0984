"""Incidents that the slow checks of the scheduler found, each with its details."""

from typing import Any

from models.incident import IncidentKind

OBSERVED: dict[IncidentKind, dict[str, Any]] = {
    "registration_lost": {"reason": "elsewhere", "host": "other.example"},
    "webhooks_missed": {"number": 2},
    "webhooks_silent": {"since": "2027-01-20T16:07:00+00:00", "confirmed": False},
    "api_key_refused": {"reason": "expired"},
    "certificate_expiring": {"host": "inbox.example", "days": 3, "level": 3},
    "hosts_unmapped": {"hosts": 1, "bookings": 2, "ids": ["h1"]},
}
