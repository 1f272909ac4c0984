"""Fixtures of the workers: the services on real stores."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from devtools.sandbox.server import sandbox
from runtime.database import Database
from tests.worker.harness import Harness
from tests.worker.provider import Provider
from worker.services import Services, services


@pytest.fixture
def open_harness(
    database: Database, database_url: str, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Harness]]:
    """Open a harness with settings; jobs in this process use the same stores."""
    opened: list[Services] = []
    monkeypatch.chdir(tmp_path)

    def open_with(**settings: str) -> Harness:
        for name, value in {"database_url": database_url, "redis_url": redis_url, **settings}.items():
            monkeypatch.setenv(name.upper(), value)
        services.cache_clear()
        opened.append(services())
        return Harness(opened[-1])

    yield open_with
    services.cache_clear()
    for each in opened:
        each.database.close()


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness()


@pytest.fixture
def provider(open_harness: Callable[..., Harness]) -> Iterator[Provider]:
    """The sandbox and a harness that receives none of its webhooks."""
    with sandbox() as meetergo:
        yield Provider(meetergo, open_harness())


@pytest.fixture
def three_hosts(provider: Provider) -> Provider:
    """Three hosts, each with a booking whose webhook was lost."""
    for number in (1, 2, 3):
        provider.book(provider.add_host(number))
    return provider
