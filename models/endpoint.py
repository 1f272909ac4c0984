"""Endpoints: the signed addresses that we registered with the provider."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from runtime.database import Model, insert_into


class Endpoint(Model):
    """One webhook of ours at the provider. The address is a secret and is not here: `fingerprint` identifies it.

    `provider_id` is the provider's id of the webhook, as text: it is a number today, and was documented as a UUID.
    """

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column("mark", String(12), unique=True)
    provider_id: Mapped[str] = mapped_column(String(64))
    event_types: Mapped[list[Any]]
    registered_at: Mapped[datetime]

    @classmethod
    def by_fingerprint(cls, session: Session, fingerprints: Sequence[str]) -> dict[str, "Endpoint"]:
        """Fingerprint -> endpoint, for those that we registered."""
        return {row.fingerprint: row for row in session.scalars(select(cls).where(cls.fingerprint.in_(fingerprints)))}

    @classmethod
    def all(cls, session: Session) -> Sequence["Endpoint"]:
        """Every one that we registered, oldest first."""
        return session.scalars(select(cls).order_by(cls.registered_at, cls.id)).all()

    @classmethod
    def save(
        cls, session: Session, fingerprint: str, provider_id: str, event_types: Sequence[str], now: datetime
    ) -> None:
        """Remembers that the provider posts to an address. An older address of the same webhook is forgotten."""
        session.execute(delete(cls).where(cls.provider_id == provider_id, cls.fingerprint != fingerprint))
        row = session.scalars(select(cls).where(cls.fingerprint == fingerprint).with_for_update()).one_or_none()
        if row is None or row.provider_id != provider_id:
            values = dict(mark=fingerprint, provider_id=provider_id, event_types=list(event_types), registered_at=now)
            insert = insert_into(session, cls).values(**values)
            session.execute(insert.on_conflict_do_update(index_elements=["mark"], set_=values))
        else:
            row.event_types = list(event_types)

    @classmethod
    def remove(cls, session: Session, provider_id: str) -> None:
        """The provider does not have it any more."""
        session.execute(delete(cls).where(cls.provider_id == provider_id))
