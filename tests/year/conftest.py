"""A platform and its provider for a year: a receiver process, the console, the sandbox, hosts on both sides."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.processes import processes, wait_until_ready
from devtools.redis_server import free_port
from devtools.sandbox.faults.plan import FaultPlan
from runtime.signed_address import AddressSigner
from tests.worker.conftest import open_harness, provider
from tests.worker.provider import Provider
from tests.year.year import Year

__all__ = ["open_harness", "provider"]

HOSTS = int(os.environ.get("YEAR_HOSTS", "20"))
BOOKINGS = int(os.environ.get("YEAR_BOOKINGS", "300"))
EVENTS = ["booking_created", "booking_rescheduled", "booking_cancelled"]


@pytest.fixture
def hosts(provider: Provider) -> dict[str, int]:
    """Return meetergo's id of each host -> the platform's, after onboarding."""
    onboarded: dict[str, int] = {}
    with provider.client() as client:
        for number in range(HOSTS):
            made = client.users.create(f"host-{number}@example.com", "The", "Host", "Europe/Berlin")
            user = provider.harness.add_user(
                external_id=str(number), meetergo_user_id=made.id, meetergo_meeting_type_id=made.meeting_type_id
            )
            onboarded[made.id] = user.id
    return onboarded


@pytest.fixture
def receiver(provider: Provider, tmp_path: Path) -> Iterator[str]:
    """The signed address of a receiver that runs as in production."""
    port, key = free_port(), secrets.token_urlsafe(32)
    env = provider.environment(WEBHOOK_KEYS=key, HOST="127.0.0.1", PORT=str(port))
    with processes(env, tmp_path, ["web"]) as logs:
        wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
        yield f"http://127.0.0.1:{port}{AddressSigner([key]).path('default')}"


@pytest.fixture
def year(provider: Provider, receiver: str, hosts: dict[str, int]) -> Year:
    """A plan in which a tenth of the deliveries is lost, a tenth repeated and three tenths reordered."""
    with provider.client(user_id=provider.meetergo.company.admin_id, local_webhooks=True) as client:
        client.webhooks.create(receiver, EVENTS)
    provider.meetergo.faults = FaultPlan(seed=2026, drop=0.1, repeat=0.1, reorder=0.3, wire="both")
    return Year(provider.meetergo, list(hosts), BOOKINGS)
