"""When a delivery last came by each signed address, so that a rotation knows when the old one can go."""

from datetime import datetime, timedelta
from typing import cast

from redis import Redis

from runtime.redis.client import key_of

LAST_SEEN_TTL = timedelta(days=7)


def record_seen(redis: "Redis", fingerprint: str, now: datetime) -> None:
    """Record that a delivery used this address.

    Raises:
        RedisError: Redis is down.
    """
    redis.set(_key(redis, fingerprint), now.isoformat(), ex=LAST_SEEN_TTL)


def last_seen(redis: "Redis", fingerprint: str) -> datetime | None:
    """Return when a delivery last used this address, to the minute; None if none did recently.

    Raises:
        RedisError: Redis is down.
    """
    value = cast("bytes | None", redis.get(_key(redis, fingerprint)))
    return datetime.fromisoformat(value.decode()) if value else None


def _key(redis: "Redis", fingerprint: str) -> str:
    return key_of(redis, "came-by", fingerprint)
