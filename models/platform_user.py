"""Platform users: the hosts as the platform knows them, and the channels that notify them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Index, Select, String, Text, UniqueConstraint, bindparam, func, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from models.account import DEFAULT
from runtime.database import Model, TolerantJson, update_rows

DEFAULT_TIMEZONE = "Europe/Berlin"
NO_MAPPING = "/"
LINK_BATCH_SIZE = 100
"""Maximum number of users that one sweep handles; the next sweep continues."""


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone with an IANA name; None if there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # OSError: "Europe" is a directory
        return None


class PlatformUser(Model):
    """A host. The platform writes these rows; `meetergo_user_id` may come later and links them.

    `channels` are the URLs that notify this user; null means the default channels. `language` is `de` or `en`.
    `calendar_feed_id` identifies the user in the link to the calendar; null while there is no link.
    """

    __tablename__ = "platform_users"
    __table_args__ = (
        UniqueConstraint("meetergo_user_id", "account"),
        Index("ix_platform_users_lower_email", text("lower(email)")),
        Index("ix_platform_users_meetergo_meeting_type_id", "meetergo_meeting_type_id"),
        Index("ix_platform_users_calendar_feed_id", "calendar_feed_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(255), unique=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    meetergo_user_id: Mapped[str | None] = mapped_column(String(255))
    meetergo_meeting_type_id: Mapped[str | None] = mapped_column(String(255))
    booking_url: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(String(320))
    name: Mapped[str | None] = mapped_column(Text)
    timezone: Mapped[str] = mapped_column(String(64), default=DEFAULT_TIMEZONE, server_default=DEFAULT_TIMEZONE)
    language: Mapped[str] = mapped_column(String(16), default="en", server_default="en")
    channels: Mapped[Any | None] = mapped_column(TolerantJson)
    linked_as: Mapped[str | None] = mapped_column(String(511))
    calendar_feed_id: Mapped[str | None] = mapped_column(String(22))

    @classmethod
    def by_external_id(cls, session: Session, external_id: str, *, locked: bool = False) -> "PlatformUser | None":
        """Return the user with this id of the platform."""
        query = select(cls).where(cls.external_id == external_id)
        return session.scalars(query.with_for_update() if locked else query).one_or_none()

    @classmethod
    def by_ids(cls, session: Session, ids: Iterable[int | None]) -> "dict[int, PlatformUser]":
        """Return the existing users by id."""
        wanted = {each for each in ids if each is not None}
        return {row.id: row for row in session.scalars(select(cls).where(cls.id.in_(wanted)))} if wanted else {}

    @classmethod
    def by_meetergo_user_id(cls, session: Session, meetergo_user_id: str, account: str) -> "PlatformUser | None":
        """Return the user that is mapped to this meetergo user of an account."""
        is_user = (cls.meetergo_user_id == meetergo_user_id, cls.account == account)
        return session.scalars(select(cls).where(*is_user)).one_or_none()

    @classmethod
    def by_meetergo_user_ids(
        cls, session: Session, meetergo_user_ids: Collection[str], account: str
    ) -> "Sequence[PlatformUser]":
        """Return the users that are mapped to any of these meetergo users of an account."""
        return session.scalars(cls._of_hosts_query(), {"ids": [*meetergo_user_ids], "account": account}).all()

    @classmethod
    @cache
    def _of_hosts_query(cls) -> "Select[PlatformUser]":
        is_host = cls.meetergo_user_id.in_(bindparam("ids", expanding=True))
        return select(cls).where(is_host, cls.account == bindparam("account"))

    @classmethod
    def by_calendar_feed_id(cls, session: Session, feed_id: str) -> "PlatformUser | None":
        """Return the user whose calendar link has this id; None if the platform copied the id to another row."""
        return cls.get_unique(session, cls.calendar_feed_id == feed_id)

    @classmethod
    def unmapped_by_email(cls, session: Session, email: str, account: str) -> "PlatformUser | None":
        """Return an account's user with this e-mail, in any case, without a meetergo id; None unless it is just one."""
        is_unmapped = (cls.meetergo_user_id.is_(None), cls.account == account)
        if email.isascii():
            return cls.get_unique(session, func.lower(cls.email) == email.lower(), *is_unmapped)
        # SQLite's lower() knows ASCII only.
        candidates = select(cls).where(func.length(cls.email) == len(email), *is_unmapped)
        found = [user for user in session.scalars(candidates) if str(user.email).lower() == email.lower()]
        return found[0] if len(found) == 1 else None

    @classmethod
    def newly_mapped(cls, session: Session) -> Sequence[int]:
        """Return ids of users whose mapping to meetergo is newer than the last linking of their waiting bookings."""
        is_new = func.coalesce(cls.linked_as, NO_MAPPING) != cls._mapping()
        return session.scalars(select(cls.id).where(is_new).order_by(cls.id).limit(LINK_BATCH_SIZE)).all()

    @classmethod
    def skip_linking(cls, session: Session, user_id: int) -> None:
        """Skip a row that cannot be linked, until its mapping changes."""
        update_rows(session, update(cls).where(cls.id == user_id).values(linked_as=cls._mapping()))

    @classmethod
    def _mapping(cls) -> ColumnElement[str]:
        return func.coalesce(cls.meetergo_user_id, "") + "/" + func.coalesce(cls.meetergo_meeting_type_id, "")

    @property
    def mapping(self) -> str:
        """The user's identity in meetergo, stored in `linked_as` once waiting bookings were linked."""
        return f"{self.meetergo_user_id or ''}/{self.meetergo_meeting_type_id or ''}"

    @property
    def linked_host(self) -> str:
        """The user's identity when waiting bookings were last linked; empty if they never were."""
        suffix = f"/{self.meetergo_meeting_type_id or ''}"
        linked = self.linked_as or NO_MAPPING
        return linked.removesuffix(suffix) if linked.endswith(suffix) else linked.rpartition("/")[0]

    def is_linked_to(self, host_ids: Collection[str]) -> bool:
        """Whether waiting bookings were linked to this user by the mapping as it is now, or as one of these hosts."""
        return (self.linked_as or NO_MAPPING) == self.mapping or self.linked_host in host_ids

    @classmethod
    def get_unique(cls, session: Session, *conditions: Any) -> "PlatformUser | None":
        """Return the only user that matches all conditions; None if there is none or more than one."""
        found = session.scalars(select(cls).where(*conditions).limit(2)).all()
        return found[0] if len(found) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the user as it appears in a notification's payload."""
        names = ("external_id", "account", "name", "email", "timezone", "language")
        details = {name: getattr(self, name) for name in names}
        # The platform writes these rows, and SQLite accepts any type.
        return {"id": self.id, **{name: value if value is None else str(value) for name, value in details.items()}}


@dataclass
class HostLinked:
    """A platform user was newly linked to a meetergo user who hosts bookings.

    Attributes:
        user: the platform user.
        booking_ids: bookings that the user owns from now on, confirmed and not over.
        at: time of linking, UTC.
        cancelled_ids: bookings that the user had or would own, cancelled before the linking, and not over.
        delivery_id: the delivery that caused it; None if none did.
        is_late: whether a replay or a late delivery caused it.
    """

    user: PlatformUser
    booking_ids: Sequence[str]
    at: datetime
    cancelled_ids: Sequence[str] = ()
    delivery_id: str | None = field(default=None, init=False)
    is_late: bool = field(default=False, init=False)


class HostResolver:
    """Resolves an account's host and meeting type ids to its platform users, with a cache.

    Args:
        session: session to read with.
        account: the account.
    """

    def __init__(self, session: Session, account: str) -> None:
        self._session = session
        self._account = account
        self._hosts: dict[str, PlatformUser] = {}
        self._types: dict[str, PlatformUser] = {}
        self._unknown_hosts: set[str] = set()
        self._unknown_types: set[str] = set()

    def prefetch(self, host_ids: Iterable[str]) -> None:
        """Load many users at once into the cache. Values that are not ids are ignored."""
        hosts, unknown = self._hosts, self._unknown_hosts
        wanted = {each for each in host_ids if isinstance(each, str) and each not in hosts and each not in unknown}
        if wanted:
            users = PlatformUser.by_meetergo_user_ids(self._session, wanted, self._account)
            hosts |= {str(user.meetergo_user_id): user for user in users}
            unknown |= wanted - hosts.keys()

    def forget_unknown(self) -> None:
        """Forget the ids that were not found, so that they are looked up again."""
        self._unknown_hosts.clear()
        self._unknown_types.clear()

    def known_hosts(self, host_ids: Sequence[str], owner_id: int | None) -> list[PlatformUser]:
        """Return all known hosts, the owner first, each once."""
        self.prefetch(host_ids)
        known = (user for host_id in host_ids if (user := self._hosts.get(host_id)))
        others = sorted(known, key=lambda user: user.id)
        owner = next((user for user in others if user.id == owner_id), None)
        if owner is None and owner_id:
            owner = self._session.get(PlatformUser, owner_id)
        return list(dict.fromkeys([owner, *others] if owner else others))

    def resolve(self, host_ids: Sequence[str], meeting_type_id: str | None) -> PlatformUser | None:
        """Return the first known host, else the only owner of the meeting type."""
        self.prefetch(host_ids)
        known = (self._hosts[host_id] for host_id in host_ids if host_id in self._hosts)
        return next(known, None) or self._owner_of_meeting_type(meeting_type_id)

    def _owner_of_meeting_type(self, meeting_type_id: str | None) -> PlatformUser | None:
        if not meeting_type_id or meeting_type_id in self._unknown_types:
            return None
        if meeting_type_id not in self._types:
            condition = PlatformUser.meetergo_meeting_type_id == meeting_type_id
            is_own = PlatformUser.account == self._account
            user = PlatformUser.get_unique(self._session, condition, is_own)
            if user is None:
                self._unknown_types.add(meeting_type_id)
                return None
            self._types[meeting_type_id] = user
        return self._types[meeting_type_id]
