"""A client for a provider on this machine; its sleeps take no time."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from meetergo.api import Meetergo, RateLimiter
from tests.meetergo.api.fake_api import FakeApi, open_fake_api

PLATFORM_KEY = "ak_live:550e8400-e29b-41d4-a716-446655440000:the-secret-part"
TOKEN = "rgo-" + "t0ken" * 6 + "xy"
ADMIN = "admin-1"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

OpenClient = Callable[..., Meetergo]


@pytest.fixture(scope="session")
def session_api() -> Iterator[FakeApi]:
    with open_fake_api() as fake_api:
        yield fake_api


@pytest.fixture
def fake_api(session_api: FakeApi) -> FakeApi:
    session_api.respond_with({})
    return session_api


@pytest.fixture
def sleeps() -> list[float]:
    """The total time that the client would have slept."""
    return []


@pytest.fixture
def open_client(fake_api: FakeApi, sleeps: list[float]) -> Iterator[OpenClient]:
    opened: list[Meetergo] = []

    def open_with(key: str = PLATFORM_KEY, user_id: str | None = ADMIN, **changes: Any) -> Meetergo:
        given = {
            "rate_limiter": RateLimiter(per_minute=100_000),
            "base_url": fake_api.url,
            "sleep": sleeps.append,
            **changes,
        }
        opened.append(Meetergo(key, user_id=user_id, clock=lambda: NOW, **given))
        return opened[-1]

    yield open_with
    for client in opened:
        client.close()


@pytest.fixture
def client(open_client: OpenClient) -> Meetergo:
    """A client with a Platform key that acts as an admin."""
    return open_client()
