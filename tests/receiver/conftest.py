"""A receiver on real stores, and what lies in them after a request."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from models.tables import Delivery
from receiver.app import create_app
from receiver.settings import ReceiverSettings
from runtime.database import Database
from runtime.redis.client import DEFAULT_PREFIX
from runtime.signed_address import AddressSigner
from tests.receiver.in_process import ReceiverInProcess
from tests.redis_content import redis_dump

OLD_KEY, KEY = "old-key-" * 4, "new-key-" * 4
ADDRESS = AddressSigner([OLD_KEY, KEY]).path("default")

MakeApp = Callable[..., ReceiverInProcess]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ReceiverSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("REDIS_PREFIX", DEFAULT_PREFIX)


@pytest.fixture
def make_app(database_url: str, redis_url: str, redis: Redis) -> Iterator[MakeApp]:
    opened: list[ReceiverInProcess] = []

    def make(**changes: Any) -> ReceiverInProcess:
        stores = {"database_url": database_url, "redis_url": redis_url, "webhook_keys": [OLD_KEY, KEY]}
        opened.append(ReceiverInProcess(create_app(ReceiverSettings(**(stores | changes)))))
        return opened[-1]

    yield make
    for each in opened:
        each.app.ingest.close()


@pytest.fixture
def app(make_app: MakeApp) -> ReceiverInProcess:
    return make_app()


@pytest.fixture
def stored(database: Database) -> Callable[[], list[bytes]]:
    """The bodies that lie in the inbox."""

    def bodies() -> list[bytes]:
        with database.read_only() as session:
            return list(session.scalars(select(Delivery.body).order_by(Delivery.received_at)))

    return bodies


@pytest.fixture
def everything_in_redis(redis: Redis) -> Callable[[], bytes]:
    """All keys and values, those that RQ packs unpacked too."""
    return partial(redis_dump, redis)
