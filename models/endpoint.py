"""Endpoints: the webhooks registered with the provider, by the fingerprint of their signed address."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.account import DEFAULT
from runtime.database import Model, insert_into


class Endpoint(Model):
    """One webhook registered with the provider. Its address is secret and not stored: `fingerprint` identifies it.

    `provider_id` is the provider's id of the webhook, as text: it is a number today, and was documented as a UUID.
    It identifies the webhook within its account.
    """

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    fingerprint: Mapped[str] = mapped_column("mark", String(12), unique=True)
    provider_id: Mapped[str] = mapped_column(String(64))
    event_types: Mapped[list[Any]]
    registered_at: Mapped[datetime]

    @classmethod
    def by_fingerprint(cls, session: Session, fingerprints: Sequence[str]) -> dict[str, "Endpoint"]:
        """Return fingerprint -> endpoint for the registered ones of these fingerprints."""
        return {row.fingerprint: row for row in session.scalars(select(cls).where(cls.fingerprint.in_(fingerprints)))}

    @classmethod
    def all(cls, session: Session, account: str) -> Sequence["Endpoint"]:
        """Return all registered endpoints of an account, oldest first."""
        return session.scalars(select(cls).where(cls.account == account).order_by(cls.registered_at, cls.id)).all()

    @classmethod
    def save(
        cls,
        session: Session,
        fingerprint: str,
        provider_id: str,
        event_types: Sequence[str],
        now: datetime,
        account: str,
    ) -> None:
        """Record the address of a webhook. It replaces an older address of the same webhook."""
        is_same = (cls.account == account, cls.provider_id == provider_id)
        session.execute(delete(cls).where(*is_same, cls.fingerprint != fingerprint))
        row = session.scalars(select(cls).where(cls.fingerprint == fingerprint).with_for_update()).one_or_none()
        if row is None or row.provider_id != provider_id:
            values = dict(
                account=account,
                mark=fingerprint,
                provider_id=provider_id,
                event_types=list(event_types),
                registered_at=now,
            )
            insert = insert_into(session, cls).values(**values)
            session.execute(insert.on_conflict_do_update(index_elements=["mark"], set_=values))
        else:
            row.event_types = list(event_types)

    @classmethod
    def remove(cls, session: Session, provider_id: str, account: str) -> None:
        """Delete an endpoint that the provider no longer has."""
        session.execute(delete(cls).where(cls.account == account, cls.provider_id == provider_id))
