"""Tokens of the read API. A token is 256 random bits, so that it is safe to store a plain SHA-256 of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Literal

from sqlalchemy import Index, String, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from runtime.database import Model, update_rows

TokenRole = Literal["read"]
PREFIX = "mgi_"
TOKEN_BYTES = 32
USE_RESOLUTION = timedelta(hours=1)
"""Resolution of `last_used_at`: a token costs one write per hour, not one per request."""


class ApiToken(Model):
    """A consumer's token, stored as a digest. A revoked one keeps its row, so that its name stays known.

    `account` is the only account that it may read; null for all.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (Index("ix_api_tokens_digest", "digest", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    account: Mapped[str | None] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(255))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    @classmethod
    def create(cls, session: Session, name: str, role: TokenRole, by: str, now: datetime, account: str | None) -> str:
        """Insert a token, for one account or for all.

        Returns:
            The token, which cannot be retrieved later.
        """
        token = PREFIX + token_urlsafe(TOKEN_BYTES)
        origin = dict(digest=digest_of(token), created_at=now, created_by=by[:255])
        session.add(cls(name=name, role=role, account=account, **origin))
        return token

    @classmethod
    def by_digest(cls, session: Session, digest: str) -> "ApiToken | None":
        """Return a token that is not revoked."""
        return session.scalar(select(cls).where(cls.digest == digest, cls.revoked_at.is_(None)))

    @classmethod
    def newest_digests(cls, session: Session, limit: int) -> Sequence[str]:
        """Return the digests of tokens that are not revoked."""
        query = select(cls.digest).where(cls.revoked_at.is_(None)).order_by(cls.id.desc()).limit(limit)
        return session.scalars(query).all()

    def is_use_recorded(self, now: datetime) -> bool:
        """Whether `last_used_at` is recent enough to stay as it is."""
        return self.last_used_at is not None and self.last_used_at > now - USE_RESOLUTION

    @classmethod
    def record_use(cls, session: Session, token_id: int, now: datetime) -> None:
        """Record that a token was used, unless another process just did."""
        is_older = or_(cls.last_used_at.is_(None), cls.last_used_at <= now - USE_RESOLUTION)
        update_rows(session, update(cls).where(cls.id == token_id, is_older).values(last_used_at=now))


def digest_of(token: str) -> str:
    """Return the digest that is stored of a token."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()
