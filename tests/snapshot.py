"""A snapshot of everything stored, for comparison."""

from typing import Any

from redis import Redis
from sqlalchemy import select

from runtime.database import Database, Model


def snapshot(database: Database, redis: Redis) -> tuple[dict[str, list[Any]], dict[bytes, Any]]:
    """Return all rows of all tables, and all of Redis."""
    return snapshot_rows(database), snapshot_redis(redis)


def snapshot_rows(database: Database) -> dict[str, list[Any]]:
    with database.read_only() as session:
        return {
            name: sorted(map(repr, session.execute(select(table)).all()))
            for name, table in Model.metadata.tables.items()
        }


def snapshot_redis(redis: Redis) -> dict[bytes, Any]:
    """Return all keys, which do not expire from now on: else two snapshots differ by the time between them."""
    for key in redis.scan_iter():
        redis.persist(key)
    return {key: READERS[redis.type(key)](redis, key) for key in redis.scan_iter()}


READERS = {
    b"hash": lambda redis, key: redis.hgetall(key),
    b"list": lambda redis, key: redis.lrange(key, 0, -1),
    b"string": lambda redis, key: redis.get(key),
    b"stream": lambda redis, key: redis.xrange(key),
    b"set": lambda redis, key: redis.smembers(key),
    b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
}
