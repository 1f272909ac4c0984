"""Everything that we keep, to be compared."""

from typing import Any

from redis import Redis
from sqlalchemy import select

from models.database import Database, Model


def everything(database: Database, redis: Redis) -> tuple[dict[str, list[Any]], dict[bytes, bytes]]:
    """All rows of all tables, and all of Redis."""
    with database.reading() as session:
        rows = {
            name: sorted(map(repr, session.execute(select(table)).all()))
            for name, table in Model.metadata.tables.items()
        }
    return rows, {key: redis.dump(key) for key in redis.scan_iter()}
