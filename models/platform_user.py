"""Platform users: the hosts, as the platform knows them, and how they want to hear of bookings."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Index, String, Text, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Model

DEFAULT_TIMEZONE = "Europe/Berlin"
UNMAPPED = "/"
LINKED_AT_ONCE = 100


class PlatformUser(Model):
    """A host. The platform writes these rows; `meetergo_user_id` may come later and links them.

    `channels` are the URLs that this user hears by; null means the default of all. `language` is `de` or `en`.
    """

    __tablename__ = "platform_users"
    __table_args__ = (
        Index("ix_platform_users_lower_email", text("lower(email)")),
        Index("ix_platform_users_meetergo_meeting_type_id", "meetergo_meeting_type_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(255), unique=True)
    meetergo_user_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    meetergo_meeting_type_id: Mapped[str | None] = mapped_column(String(255))
    booking_url: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(String(320))
    name: Mapped[str | None] = mapped_column(Text)
    timezone: Mapped[str] = mapped_column(String(64), default=DEFAULT_TIMEZONE, server_default=DEFAULT_TIMEZONE)
    language: Mapped[str] = mapped_column(String(16), default="en", server_default="en")
    channels: Mapped[list[Any] | None]
    linked_as: Mapped[str | None] = mapped_column(String(511))

    @classmethod
    def known_as(cls, session: Session, external_id: str, *, locked: bool = False) -> "PlatformUser | None":
        """The one whom the platform calls so."""
        query = select(cls).where(cls.external_id == external_id)
        return session.scalars(query.with_for_update() if locked else query).one_or_none()

    @classmethod
    def among(cls, session: Session, ids: Iterable[int | None]) -> "dict[int, PlatformUser]":
        """Those who are there, by id."""
        wanted = {each for each in ids if each is not None}
        return {row.id: row for row in session.scalars(select(cls).where(cls.id.in_(wanted)))} if wanted else {}

    @classmethod
    def mapped_to(cls, session: Session, meetergo_user_id: str) -> "PlatformUser | None":
        """The one who is this user of meetergo."""
        return session.scalars(select(cls).where(cls.meetergo_user_id == meetergo_user_id)).one_or_none()

    @classmethod
    def waiting_for(cls, session: Session, email: str) -> "PlatformUser | None":
        """The one user with this e-mail who has no meetergo id yet; None if there are several."""
        return cls.only(session, func.lower(cls.email) == email.lower(), cls.meetergo_user_id.is_(None))

    @classmethod
    def newly_mapped(cls, session: Session, *, locked: bool = False) -> Sequence["PlatformUser"]:
        """Users whose mapping to meetergo is new since their waiting bookings were last linked."""
        mapping = func.coalesce(cls.meetergo_user_id, "") + "/" + func.coalesce(cls.meetergo_meeting_type_id, "")
        is_new = func.coalesce(cls.linked_as, UNMAPPED) != mapping
        query = select(cls).where(is_new).order_by(cls.id).limit(LINKED_AT_ONCE)
        return session.scalars(query.with_for_update() if locked else query).all()

    @property
    def mapping(self) -> str:
        """What this user is in meetergo; kept in `linked_as` once waiting bookings were linked."""
        return f"{self.meetergo_user_id or ''}/{self.meetergo_meeting_type_id or ''}"

    @classmethod
    def only(cls, session: Session, *conditions: Any) -> "PlatformUser | None":
        """The one user of whom this is true; None if there are several."""
        found = session.scalars(select(cls).where(*conditions).limit(2)).all()
        return found[0] if len(found) == 1 else None

    def describe(self) -> dict[str, Any]:
        """Who is told, as it stands in the news."""
        return {
            "id": self.id,
            "external_id": self.external_id,
            "name": self.name,
            "email": self.email,
            "timezone": self.timezone,
            "language": self.language,
        }
