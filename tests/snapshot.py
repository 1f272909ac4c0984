"""Everything that we keep, to be compared."""

from typing import Any

from redis import Redis
from sqlalchemy import select

from runtime.database import Database, Model


def everything(database: Database, redis: Redis) -> tuple[dict[str, list[Any]], dict[bytes, Any]]:
    """All rows of all tables, and all of Redis."""
    return rows_of(database), content_of(redis)


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.reading() as session:
        return {
            name: sorted(map(repr, session.execute(select(table)).all()))
            for name, table in Model.metadata.tables.items()
        }


def content_of(redis: Redis) -> dict[bytes, Any]:
    return {key: READERS[redis.type(key)](redis, key) for key in redis.scan_iter()}


READERS = {
    b"hash": lambda redis, key: redis.hgetall(key),
    b"list": lambda redis, key: redis.lrange(key, 0, -1),
    b"string": lambda redis, key: redis.get(key),
    b"stream": lambda redis, key: redis.xrange(key),
    b"set": lambda redis, key: redis.smembers(key),
    b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
}
