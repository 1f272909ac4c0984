"""Health: whether the process lives, and whether deliveries can be kept."""

from flask import Blueprint, Response, current_app
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from receiver.answers import answer
from receiver.door import Door

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process lives."""
    return answer(200, {"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Each store, ok or failing. Either one is enough to keep a delivery."""
    door: Door = current_app.extensions["door"]
    stores = {"database": _database(door), "redis": _redis(door)}
    can_keep = "ok" in stores.values()
    return answer(200 if can_keep else 503, {"status": "ready" if can_keep else "not ready", **stores})


def _database(door: Door) -> str:
    try:
        with door.database.reading() as session:
            session.execute(text("SELECT count(*) FROM deliveries WHERE id = ''"))
    except SQLAlchemyError:
        return "failing"
    return "ok"


def _redis(door: Door) -> str:
    try:
        door.bell.redis.ping()
    except RedisError:
        return "failing"
    return "ok"
