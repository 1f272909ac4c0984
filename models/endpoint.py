"""Endpoints: the signed addresses that we registered with the provider, and when a delivery last came by each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from redis import Redis
from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from runtime.database import Model, insert_into
from runtime.redis.client import key_of

REMEMBERED = timedelta(days=7)


class Endpoint(Model):
    """One webhook of ours at the provider. The address is a secret and is not here: `mark` tells it again.

    `provider_id` is the provider's id of the webhook, as text: it is a number today, and was documented as a UUID.
    """

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[str] = mapped_column(String(12), unique=True)
    provider_id: Mapped[str] = mapped_column(String(64))
    event_types: Mapped[list[Any]]
    registered_at: Mapped[datetime]

    @classmethod
    def marked(cls, session: Session, marks: Sequence[str]) -> dict[str, "Endpoint"]:
        """Mark -> endpoint, for those that we registered."""
        return {row.mark: row for row in session.scalars(select(cls).where(cls.mark.in_(marks)))}

    @classmethod
    def known(cls, session: Session) -> Sequence["Endpoint"]:
        """Every one that we registered, oldest first."""
        return session.scalars(select(cls).order_by(cls.registered_at, cls.id)).all()

    @classmethod
    def keep(cls, session: Session, mark: str, provider_id: str, event_types: Sequence[str], now: datetime) -> None:
        """Remembers that the provider posts to an address. An older address of the same webhook is forgotten."""
        session.execute(delete(cls).where(cls.provider_id == provider_id, cls.mark != mark))
        row = session.scalars(select(cls).where(cls.mark == mark).with_for_update()).one_or_none()
        if row is None or row.provider_id != provider_id:
            values = dict(mark=mark, provider_id=provider_id, event_types=list(event_types), registered_at=now)
            insert = insert_into(session, cls).values(**values)
            session.execute(insert.on_conflict_do_update(index_elements=["mark"], set_=values))
        else:
            row.event_types = list(event_types)

    @classmethod
    def forget(cls, session: Session, provider_id: str) -> None:
        """The provider does not have it any more."""
        session.execute(delete(cls).where(cls.provider_id == provider_id))


def record_seen(redis: "Redis", mark: str, now: datetime) -> None:
    """Notes that a delivery came by this address.

    Raises:
        RedisError: Redis is away.
    """
    redis.set(_key(redis, mark), now.isoformat(), ex=REMEMBERED)


def last_came_by(redis: "Redis", mark: str) -> datetime | None:
    """When one last came, to the minute; None if none did of late.

    Raises:
        RedisError: Redis is away.
    """
    moment = cast("bytes | None", redis.get(_key(redis, mark)))
    return datetime.fromisoformat(moment.decode()) if moment else None


def _key(redis: "Redis", mark: str) -> str:
    return key_of(redis, "came-by", mark)
