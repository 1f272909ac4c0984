"""A booking: one row per provider booking id, and the rules by which events change it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship
from sqlalchemy.sql.elements import ColumnElement

from meetergo.events import BookingEvent, latest_version, time_of
from meetergo.guests import departed
from models.account import DEFAULT, IS_OTHER, account_of
from models.delivery import Delivery
from models.facts import (
    attendees,
    hosting_since,
    join,
    localized,
    newest,
    newest_version,
    sorted_ids,
    with_hosts,
    without_future,
)
from models.platform_user import PlatformUser
from runtime.bulk import insert_missing
from runtime.database import JsonValue, Model, RowsDiscarded, dialect_options, is_postgresql, partial_index, table_of

BookingStatus = Literal["confirmed", "cancelled"]
ChangeKind = Literal["created", "rescheduled", "cancelled", "attendee_left", "updated", "linked", "erased"]
NotificationKind = Literal["created", "rescheduled", "updated", "cancelled", "attendee_left", "summary"]
TIME_COLUMNS = ("starts_at", "ends_at")
MAX_MEETING_LENGTH = timedelta(days=7)
"""Upper bound on a meeting's length. `is_upcoming` ignores meetings that began earlier than this."""
IS_LINKED = "kind = 'linked'"
"""SQL condition on a change: only the booking's owner changed."""
HAS_CO_HOSTS = {"sqlite": "instr(host_ids, ',') > 0", "postgresql": "(host_ids -> 1) IS NOT NULL"}
"""SQL condition on a booking: it has several hosts. Neither form fails on a value that is not a list."""
ResolveHost = Callable[[Sequence[str], str | None], int | None]


class Booking(Model):
    """The row that the platform reads: the newest known state of a booking, whatever the order of its events.

    The columns down to `updated_at` are a contract (README). They are projected from `facts`. `version` is that of the
    newest event; `revision` counts the changes of this row.
    """

    CHANGED_BY_EACH_UPDATE = ("status", "revision")
    """Nobody is notified of an update that changes neither."""

    __tablename__ = "bookings"
    __table_args__ = (
        Index("ix_bookings_platform_user_id_starts_at", "platform_user_id", "starts_at"),
        Index("ix_bookings_starts_at", "starts_at"),
        partial_index("ix_bookings_cancelled", "starts_at", "id", where="status = 'cancelled'"),
        Index(
            "ix_bookings_shared",
            "starts_at",
            info=dialect_options(
                sqlite_where=text(HAS_CO_HOSTS["sqlite"]), postgresql_where=text(HAS_CO_HOSTS["postgresql"])
            ),
        ),
        Index(
            "ix_bookings_attendees",
            "attendees",
            info=dialect_options(postgresql_using="gin", postgresql_ops={"attendees": "jsonb_path_ops"}),
        ).ddl_if(dialect="postgresql"),  # SQLite has no index of a list's content
        Index("ix_bookings_id_prefix", "id", info=dialect_options(postgresql_ops={"id": "varchar_pattern_ops"})).ddl_if(
            dialect="postgresql"
        ),  # SQLite searches the primary key, whose order does not depend on a collation
        partial_index("ix_bookings_of_account", "account", "id", where=IS_OTHER),
        partial_index("ix_bookings_of_account_starts_at", "account", "starts_at", "id", where=IS_OTHER),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    platform_user_id: Mapped[int | None] = mapped_column(ForeignKey("platform_users.id", ondelete="SET NULL"))
    status: Mapped[BookingStatus] = mapped_column(String(9), default="confirmed")
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    meeting_type_id: Mapped[str | None] = mapped_column(String(255))
    meeting_name: Mapped[str | None] = mapped_column(Text)
    meeting_link: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    attendees: Mapped[list[Any]] = mapped_column(default=list)
    host_ids: Mapped[list[Any]] = mapped_column(default=list)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    cancelled_by: Mapped[str | None] = mapped_column(Text)
    as_of: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[str] = mapped_column(String(64), default="")
    revision: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)

    @classmethod
    def by_ids(cls, session: Session, ids: Collection[str]) -> "dict[str, Booking]":
        """Return the existing bookings by key."""
        return {row.id: row for row in session.scalars(select(cls).where(cls.id.in_(ids)))}

    @classmethod
    def get_for_update(cls, session: Session, ids: Iterable[str], now: datetime) -> "dict[str, Booking]":
        """Lock and return bookings by key (see `booking_key`), creating those that do not exist yet.

        Rows are locked in the order of ids, so that two workers cannot deadlock.

        Raises:
            RowsDiscarded: a trigger of the platform's keeps new ones out of the table, or changes their ids.
        """
        defaults = dict(status="confirmed", attendees=[], host_ids=[], metadata={}, facts={}, version="")
        times = dict(as_of=now, created_at=now, updated_at=now, revision=0)
        new = [
            dict(id=key, account=account_of(key) if ":" in key else DEFAULT, **defaults, **times)
            for key in sorted(set(ids))
        ]
        insert_missing(session, cls, new, "id")
        rows = session.scalars(
            cls._lock_query(), {"ids": [row["id"] for row in new]}, execution_options={"populate_existing": True}
        ).all()
        if len(rows) < len(new):
            raise RowsDiscarded(cls.__tablename__)
        return {row.id: row for row in rows}

    @classmethod
    @cache
    def _lock_query(cls) -> "Select[Booking]":
        return select(cls).where(cls.id.in_(bindparam("ids", expanding=True))).order_by(cls.id).with_for_update()

    @classmethod
    def delete_blank(cls, session: Session, ids: Collection[str]) -> None:
        """Delete those of these rows that `get_for_update` created and no event changed."""
        table = table_of(cls)
        session.execute(delete(table).where(table.c.id.in_(ids), table.c.revision == 0))

    def apply(self, event: BookingEvent, resolve_host: ResolveHost, now: datetime) -> "BookingChange | None":
        """Apply an event to the booking.

        Args:
            event: the state of the booking at some time.
            resolve_host: finds the platform user's id from host ids and meeting type id.
            now: the time, UTC.

        Returns:
            The resulting change, or None: an older or repeated event changes nothing.
        """
        before, attendee_ids_before = self.public_columns(), self.facts.get("attendee_ids")
        hosts_before = self._hosting_since()
        self._merge(event, latest_version(max(now, event.received_at or now)))
        self._project_unlocalized()
        hosts = self._hosting_since()
        self.platform_user_id = self._resolve_owner(resolve_host, hosts, hosts_unchanged=hosts == hosts_before)
        self._project_localized()
        list_changed = event.has_all_attendees and self.facts.get("attendee_ids") != attendee_ids_before
        departed_guests = departed(before["attendees"], self.attendees) if list_changed else ()
        return self._change_since(before, now, attendee_left=bool(departed_guests))

    def cancel_as_moved(self, to: str, event: BookingEvent, now: datetime) -> "BookingChange | None":
        """Cancel a booking that another booking replaced.

        Args:
            to: the id of the booking that replaced it.
            event: the event that reports the move.
            now: the time, UTC.

        Returns:
            The resulting change, or None. It causes notifications only if the booking was known before.
        """
        existed, before = self.revision > 0, self.public_columns()
        ended = {"status": "cancelled", "cancel_reason": f"moved to {to}", "cancelled_by": None}
        self.facts = join(self.facts, event.version, ended)
        if event.version > self.version:
            self.version, self.as_of = event.version, event.at
        self.project()
        change = self._change_since(before, now)
        if change and not existed:
            change.notification_kinds, change.kind = [], "updated"
        return change

    def _merge(self, event: BookingEvent, limit: str) -> None:
        """Merge an event into the facts.

        Older releases stored versions beyond the limit. Such versions lose, and an authoritative read removes them.
        """
        facts = without_future(self.facts, limit) if event.is_authoritative else self.facts
        if "host_ids" in event.facts:
            facts = with_hosts(facts, event.version, sorted_ids(event.facts["host_ids"]))
        self.facts = join(facts, event.version, event.facts, event.attendees, limit)
        if event.version > self.version:
            self.version, self.as_of = event.version, event.at
        elif self.version > limit:
            self.version = max(event.version, newest_version(self.facts, limit))
            self.as_of = time_of(self.version) or event.at

    @classmethod
    def is_hosted_by(cls, session: Session, meetergo_user_id: str) -> ColumnElement[bool]:
        """SQL condition: a meetergo user is among the hosts."""
        if is_postgresql(session):
            return cls.host_ids.bool_op("@>")(literal([meetergo_user_id], JsonValue()))
        in_list = text(
            "EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(bookings.host_ids) THEN bookings.host_ids"
            " ELSE '[]' END) WHERE value = :host)"
        )
        return cast(in_list.bindparams(host=meetergo_user_id), Boolean)

    @classmethod
    def is_shared_with(cls, session: Session, meetergo_user_id: str) -> ColumnElement[bool]:
        """SQL condition: a meetergo user is one of several hosts. `ix_bookings_shared` holds such bookings."""
        has_co_hosts = text(HAS_CO_HOSTS[session.get_bind().dialect.name])
        return and_(has_co_hosts, cls.is_hosted_by(session, meetergo_user_id))

    def link(self, resolve_host: ResolveHost, now: datetime) -> "BookingChange | None":
        """Set the booking's owner once the platform user is known. Returns the resulting change, or None."""
        before = self.public_columns()
        self.platform_user_id = self._resolve_owner(resolve_host, self._hosting_since(), hosts_unchanged=True)
        self._project_localized()
        return self._change_since(before, now)

    @classmethod
    def is_upcoming(cls, now: datetime, status: BookingStatus = "confirmed") -> ColumnElement[bool]:
        """SQL condition: bookings of a status that are not over, or whose time is unknown."""
        is_soon = or_(cls.starts_at.is_(None), cls.starts_at >= now - MAX_MEETING_LENGTH)
        ends = func.coalesce(cls.ends_at, cls.starts_at)
        return and_(cls.status == status, is_soon, or_(ends.is_(None), ends >= now))

    def record_erasure(self, before: Mapping[str, Any], redacted: Mapping[str, Any], now: datetime) -> "BookingChange":
        """Return the change by which consumers learn that a guest was erased. It notifies nobody.

        Args:
            before: the public columns before the erasure.
            redacted: the same without the guest's data, to be stored.
            now: the time, UTC.
        """
        after = self.public_columns()
        names = [name for name in after if after[name] != before[name]]
        self.revision += 1
        return BookingChange(
            booking_id=self.id,
            account=self.account,
            revision=self.revision,
            kind="erased",
            before={name: redacted[name] for name in names},
            after={name: after[name] for name in names},
            notification_kinds=[],
            at=now,
        )

    def _resolve_owner(
        self, resolve_host: ResolveHost, hosts: Mapping[str, str], *, hosts_unchanged: bool
    ) -> int | None:
        """Return the current owner while still among the hosts, else the known host who has hosted longest.

        The result depends on what events say, not on the order in which they arrive; see `hosting_since`.

        Args:
            resolve_host: see `apply`.
            hosts: host -> since when; see `hosting_since`.
            hosts_unchanged: whether the hosts, and since when each has hosted, are unchanged.
        """
        if (
            hosts_unchanged
            and self.platform_user_id
            and self.platform_user_id in {resolve_host([host], None) for host in hosts}
        ):
            return self.platform_user_id
        return resolve_host(sorted(hosts, key=lambda host: (hosts[host], host)), self.meeting_type_id)

    def _hosting_since(self) -> dict[str, str]:
        return hosting_since(self.facts, sorted_ids(self.host_ids))

    def public_columns(self) -> dict[str, Any]:
        """Return the contract's columns as JSON, without the bookkeeping columns."""
        return {
            "platform_user_id": self.platform_user_id,
            "status": self.status,
            "starts_at": _iso(self.starts_at),
            "ends_at": _iso(self.ends_at),
            "meeting_type_id": self.meeting_type_id,
            "meeting_name": self.meeting_name,
            "meeting_link": self.meeting_link,
            "location": self.location,
            "attendees": self.attendees,
            "host_ids": sorted_ids(self.host_ids),
            "metadata": self.metadata_,
            "cancel_reason": self.cancel_reason,
            "cancelled_by": self.cancelled_by,
            "as_of": _iso(self.as_of),
        }

    def project(self) -> None:
        """Set the columns from the facts."""
        self._project_unlocalized()
        self._project_localized()

    def _project_unlocalized(self) -> None:
        facts = self.facts
        self._set(
            status=newest(facts, "status") or "confirmed",
            starts_at=_parse_time(newest(facts, "starts_at")),
            ends_at=_parse_time(newest(facts, "ends_at")),
            meeting_type_id=newest(facts, "meeting_type_id"),
            meeting_link=newest(facts, "meeting_link"),
            attendees=attendees(facts),
            host_ids=sorted_ids(newest(facts, "host_ids")),
            metadata_=newest(facts, "metadata") or {},
            cancelled_by=newest(facts, "cancelled_by"),
        )

    def _project_localized(self) -> None:
        """Set the columns that meetergo may give in several languages, in the host's language."""
        facts = self.facts
        name = newest(facts, "meeting_name") or newest(facts, "settings_name")
        location, reason = newest(facts, "location"), newest(facts, "cancel_reason")
        if any(isinstance(value, dict) for value in (name, location, reason)):
            language = self._host_language
            name, location, reason = (localized(value, language) for value in (name, location, reason))
        self._set(meeting_name=name, location=location, cancel_reason=reason)

    def _set(self, **values: Any) -> None:
        """Set the attributes that change: to set one takes as long as ten comparisons.

        JSON is set in any case: in Python, 1 equals True.
        """
        for name, value in values.items():
            if isinstance(value, list | dict) or getattr(self, name) != value:
                setattr(self, name, value)

    @property
    def _host_language(self) -> str | None:
        session = object_session(self)
        owner = session.get(PlatformUser, self.platform_user_id) if session and self.platform_user_id else None
        return owner.language if owner else None

    def _change_since(
        self, before: Mapping[str, Any], now: datetime, *, attendee_left: bool = False
    ) -> "BookingChange | None":
        is_new, after = self.revision == 0, self.public_columns()
        names = [name for name in after if is_new or after[name] != before[name]]
        if not names:
            return None
        self.revision += 1
        self.updated_at = now
        notification_kinds = _notification_kinds(None if is_new else before, after, attendee_left)
        silent_kind: ChangeKind = "linked" if names == ["platform_user_id"] else "updated"
        change = BookingChange(
            booking=self,
            booking_id=self.id,
            account=self.account,
            revision=self.revision,
            kind=notification_kinds[0] if notification_kinds else silent_kind,
            before=None if is_new else {name: before[name] for name in names},
            after={name: after[name] for name in names},
            notification_kinds=notification_kinds,
            at=now,
        )
        change.columns = MappingProxyType(after)
        return change


def _notification_kinds(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], attendee_left: bool
) -> list[NotificationKind]:
    """Return the notifications that a change causes. They follow from the row, not from an event's name."""
    if before is None or before["status"] != after["status"]:
        return ["cancelled" if after["status"] == "cancelled" else "created"]
    if after["status"] == "cancelled":
        return []
    different = {name for name in after if before[name] != after[name]}
    notification_kinds: list[NotificationKind] = ["rescheduled"] if different & {*TIME_COLUMNS} else []
    if attendee_left:
        return [*notification_kinds, "attendee_left"]
    has_new_owner = before["platform_user_id"] is not None and "platform_user_id" in different
    return notification_kinds or (["updated"] if has_new_owner or "host_ids" in different else [])


class BookingChange(Model):
    """One change of one booking: the columns before and after, the delivery that caused it, and the time.

    `before` is null where the row is new. `notification_kinds` names the notifications that the change caused. Replayed
    in order, the changes of a booking yield its row. The delivery that `delivery_id` names may be pruned earlier.
    `feed_batch` is the change's place in the change feed, assigned after the commit: see models/change_feed.py.

    Attributes:
        is_late: whether a replay or a late delivery caused it, so that only the latest notification is sent.
        columns: all public columns of the booking after it; known only where it was made, for its notifications.
    """

    KEY = ("booking_id", "revision")
    """The columns of the unique index."""
    is_late = False
    columns = MappingProxyType[str, Any]({})

    __tablename__ = "booking_changes"
    __table_args__ = (
        Index("ix_booking_changes_booking_id_revision", "booking_id", "revision", unique=True),
        partial_index("ix_booking_changes_linked", "delivery_id", where=IS_LINKED),
        Index("ix_booking_changes_at", "at"),
        Index("ix_booking_changes_feed_batch_id", "feed_batch", "id"),
        partial_index("ix_booking_changes_of_account", "account", "feed_batch", "id", where=IS_OTHER),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[str] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    revision: Mapped[int]
    kind: Mapped[ChangeKind] = mapped_column(String(13))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any]]
    notification_kinds: Mapped[list[Any]] = mapped_column("news", default=list)
    delivery_id: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime]
    feed_batch: Mapped[int | None] = mapped_column(BigInteger)
    booking: Mapped[Booking] = relationship()

    @classmethod
    def caused_by(cls, delivery: Delivery) -> ColumnElement[bool]:
        """SQL condition: changes that a delivery caused to its booking, or without one to the owner of any booking."""
        of_booking = cls.booking_id == delivery.booking_id if delivery.booking_id else text(IS_LINKED)
        return and_(of_booking, cls.delivery_id == delivery.id)

    @property
    def news(self) -> list[NotificationKind]:
        """The former name of `notification_kinds`, for platform hooks that read it."""
        return self.notification_kinds

    @property
    def previous(self) -> dict[str, Any] | None:
        """The columns before this change, named as in `Booking.public_columns`; None if the booking was new."""
        return None if self.before is None else {**self.columns, **self.before}


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _parse_time(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
