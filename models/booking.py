"""A booking: one row per provider booking id, and the rules by which events change it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Boolean, ForeignKey, Index, String, Text, and_, cast, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship
from sqlalchemy.sql.elements import ColumnElement

from meetergo.events import BookingEvent, latest_version, time_of
from meetergo.guests import departed
from models.delivery import Delivery
from models.facts import (
    attendees,
    in_any_order,
    in_language,
    join,
    newest,
    newest_version,
    standing,
    with_hosts,
    without_future,
)
from models.platform_user import PlatformUser
from runtime.bulk import insert_missing
from runtime.database import Model, partial_index

BookingStatus = Literal["confirmed", "cancelled"]
ChangeKind = Literal["created", "rescheduled", "cancelled", "attendee_left", "updated", "linked"]
NotificationKind = Literal["created", "rescheduled", "updated", "cancelled", "attendee_left", "summary"]
TIMES = ("starts_at", "ends_at")
LONGEST_MEETING = timedelta(days=7)
"""A meeting that began earlier is not looked for."""
IS_LINKED = "kind = 'linked'"
"""Of a change: only the booking's owner is another."""
HostResolverFunction = Callable[[Sequence[str], str | None], int | None]


class Booking(Model):
    """What the platform reads: the newest that anybody said of a booking, whatever came in which order.

    The columns down to `updated_at` are a contract (README). `facts` is what they are made of; `version` the
    newest event's; `revision` counts the changes of this row.
    """

    __tablename__ = "bookings"
    __table_args__ = (
        Index("ix_bookings_platform_user_id_starts_at", "platform_user_id", "starts_at"),
        Index("ix_bookings_starts_at", "starts_at"),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
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
    def locked(cls, session: Session, ids: Iterable[str], now: datetime) -> "dict[str, Booking]":
        """The rows by id, locked for this transaction; made if nobody told us of a booking yet.

        They are locked in the order of ids, so that two workers cannot deadlock.
        """
        blank = dict(status="confirmed", attendees=[], host_ids=[], metadata={}, facts={}, version="")
        times = dict(as_of=now, created_at=now, updated_at=now, revision=0)
        new = [dict(id=booking_id, **blank, **times) for booking_id in sorted(set(ids))]
        insert_missing(session, cls, new, "id")
        rows = select(cls).where(cls.id.in_([row["id"] for row in new])).order_by(cls.id).with_for_update()
        return {row.id: row for row in session.scalars(rows.execution_options(populate_existing=True))}

    def learn(self, event: BookingEvent, owner_of: HostResolverFunction, now: datetime) -> "BookingChange | None":
        """Joins what an event says to what is known.

        Args:
            event: how the booking was at some time.
            owner_of: finds the platform user's id from host ids and meeting type id.
            now: when we learn it.

        Returns:
            The change that this made of the row, or None: an older or repeated event changes nothing.
        """
        before, listed = self.seen(), self.facts.get("attendee_ids")
        standing = self._standing()
        self._join(event, latest_version(max(now, event.received_at or now)))
        self.show()
        self.platform_user_id = self._owner(owner_of, are_as_before=standing == self._standing())
        self._speak()
        is_list_new = event.is_list_of_all and self.facts.get("attendee_ids") != listed
        left = departed(before["attendees"], self.attendees) if is_list_new else ()
        return self._changed(before, now, someone_left=bool(left))

    def end_as_moved(self, to: str, event: BookingEvent, now: datetime) -> "BookingChange | None":
        """Ends a booking of which an event says that another one took its place.

        Args:
            to: the id of the one that did.
            event: says so.
            now: when we learn it.

        Returns:
            The change that this made of the row, or None. It is news only if the booking was known before.
        """
        is_known, before = self.revision > 0, self.seen()
        ended = {"status": "cancelled", "cancel_reason": f"moved to {to}", "cancelled_by": None}
        self.facts = join(self.facts, event.version, ended)
        if event.version > self.version:
            self.version, self.as_of = event.version, event.at
        self.show()
        change = self._changed(before, now)
        if change and not is_known:
            change.news, change.kind = [], "updated"
        return change

    def _join(self, event: BookingEvent, limit: str) -> None:
        """What lies beyond the limit was kept before such was refused. It loses; an answer of meetergo ends it."""
        known = without_future(self.facts, limit) if event.is_authoritative else self.facts
        if "host_ids" in event.facts:
            known = with_hosts(known, event.version, in_any_order(event.facts["host_ids"]))
        self.facts = join(known, event.version, event.facts, event.attendees, limit)
        if event.version > self.version:
            self.version, self.as_of = event.version, event.at
        elif self.version > limit:
            self.version = max(event.version, newest_version(self.facts, limit))
            self.as_of = time_of(self.version) or event.at

    @classmethod
    def is_hosted_by(cls, session: Session, meetergo_user_id: str) -> ColumnElement[bool]:
        """Whether a user is among the hosts."""
        if session.get_bind().dialect.name == "postgresql":
            return cast(cls.host_ids, JSONB).contains([meetergo_user_id])
        in_list = text(
            "EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(bookings.host_ids) THEN bookings.host_ids"
            " ELSE '[]' END) WHERE value = :host)"
        )
        return cast(in_list.bindparams(host=meetergo_user_id), Boolean)

    def link(self, owner_of: HostResolverFunction, now: datetime) -> "BookingChange | None":
        """Gives the booking its owner, once the platform's user is known."""
        before = self.seen()
        self.platform_user_id = self._owner(owner_of, are_as_before=True)
        self._speak()
        return self._changed(before, now)

    @classmethod
    def is_ahead(cls, now: datetime) -> ColumnElement[bool]:
        """Confirmed bookings that are not over, or of which nobody knows when they are."""
        is_soon = or_(cls.starts_at.is_(None), cls.starts_at >= now - LONGEST_MEETING)
        ends = func.coalesce(cls.ends_at, cls.starts_at)
        return and_(cls.status == "confirmed", is_soon, or_(ends.is_(None), ends >= now))

    def _owner(self, owner_of: HostResolverFunction, *, are_as_before: bool) -> int | None:
        """The current owner while still among the hosts; else of those whom we know who has hosted for longest.

        It follows from what was said, not from when it came: see `standing`.

        Args:
            owner_of: see `learn`.
            are_as_before: whether the hosts are, and how long each has been one.
        """
        hosts = self._standing()
        if (
            are_as_before
            and self.platform_user_id
            and self.platform_user_id in {owner_of([host], None) for host in hosts}
        ):
            return self.platform_user_id
        return owner_of(sorted(hosts, key=lambda host: (hosts[host], host)), self.meeting_type_id)

    def _standing(self) -> dict[str, str]:
        return standing(self.facts, in_any_order(self.host_ids))

    def seen(self) -> dict[str, Any]:
        """The contract's columns as JSON; the bookkeeping ones aside."""
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
            "host_ids": in_any_order(self.host_ids),
            "metadata": self.metadata_,
            "cancel_reason": self.cancel_reason,
            "cancelled_by": self.cancelled_by,
            "as_of": _iso(self.as_of),
        }

    def show(self) -> None:
        """Sets the columns to what is known."""
        known = self.facts
        self.status = newest(known, "status") or "confirmed"
        self.starts_at = _moment(newest(known, "starts_at"))
        self.ends_at = _moment(newest(known, "ends_at"))
        self.meeting_type_id = newest(known, "meeting_type_id")
        self.meeting_link = newest(known, "meeting_link")
        self.attendees = attendees(known)
        self.host_ids = in_any_order(newest(known, "host_ids"))
        self.metadata_ = newest(known, "metadata") or {}
        self.cancelled_by = newest(known, "cancelled_by")
        self._speak()

    def _speak(self) -> None:
        """Sets the columns of which meetergo may give the words in several languages: those of the host's count."""
        known = self.facts
        name = newest(known, "meeting_name") or newest(known, "settings_name")
        location, reason = newest(known, "location"), newest(known, "cancel_reason")
        if any(isinstance(words, dict) for words in (name, location, reason)):
            language = self._host_language
            name, location, reason = (in_language(words, language) for words in (name, location, reason))
        self.meeting_name, self.location, self.cancel_reason = name, location, reason

    @property
    def _host_language(self) -> str | None:
        session = object_session(self)
        owner = session.get(PlatformUser, self.platform_user_id) if session and self.platform_user_id else None
        return owner.language if owner else None

    def _changed(
        self, before: Mapping[str, Any], now: datetime, *, someone_left: bool = False
    ) -> "BookingChange | None":
        is_new, after = self.revision == 0, self.seen()
        names = [name for name in after if is_new or after[name] != before[name]]
        if not names:
            return None
        self.revision += 1
        self.updated_at = now
        news = _news(None if is_new else before, after, someone_left)
        return BookingChange(
            booking=self,
            booking_id=self.id,
            revision=self.revision,
            kind=news[0] if news else "linked" if names == ["platform_user_id"] else "updated",
            before=None if is_new else {name: before[name] for name in names},
            after={name: after[name] for name in names},
            news=news,
            at=now,
        )


def _news(before: Mapping[str, Any] | None, after: Mapping[str, Any], someone_left: bool) -> list[NotificationKind]:
    """What is worth telling about a change: it follows from the row, not from an event's name."""
    if before is None or before["status"] != after["status"]:
        return ["cancelled" if after["status"] == "cancelled" else "created"]
    if after["status"] == "cancelled":
        return []
    different = {name for name in after if before[name] != after[name]}
    news: list[NotificationKind] = ["rescheduled"] if different & {*TIMES} else []
    if someone_left:
        return [*news, "attendee_left"]
    return news or (["updated"] if "host_ids" in different else [])


class BookingChange(Model):
    """One change of one booking: what it was, what it became, which delivery caused it, when.

    `before` is null where the row is new; `news` names what was owed to its readers. The changes of a booking,
    in order, replay to its row. `delivery_id` names what made it; that may be pruned earlier.

    Attributes:
        is_late: whether a replay or a late delivery made it, so that only the last of its news is worth sending.
    """

    is_late = False

    __tablename__ = "booking_changes"
    __table_args__ = (
        Index("ix_booking_changes_booking_id_revision", "booking_id", "revision", unique=True),
        partial_index("ix_booking_changes_linked", "delivery_id", where=IS_LINKED),
        Index("ix_booking_changes_at", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[str] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    revision: Mapped[int]
    kind: Mapped[ChangeKind] = mapped_column(String(13))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any]]
    news: Mapped[list[Any]] = mapped_column(default=list)
    delivery_id: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime]
    booking: Mapped[Booking] = relationship()

    @classmethod
    def caused_by(cls, delivery: Delivery) -> ColumnElement[bool]:
        """Changes that a delivery made: of its booking, or else of the owners of any."""
        its = cls.booking_id == delivery.booking_id if delivery.booking_id else text(IS_LINKED)
        return and_(its, cls.delivery_id == delivery.id)

    @property
    def was(self) -> dict[str, Any] | None:
        """The booking as it was, in the words of `Booking.seen`, while it is as this change made it; None if new."""
        return None if self.before is None else {**self.booking.seen(), **self.before}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
