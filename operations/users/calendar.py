"""The calendar of a host: its secret link, and its bookings as an iCalendar feed (RFC 5545, RFC 7986)."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from icalendar import TRANSP, Calendar, Event, Timezone, TimezoneStandard, vDuration, vText
from itsdangerous import Signer
from sqlalchemy import ColumnElement, Row, and_, select
from sqlalchemy.orm import Session

from models.booking import Booking, NotificationKind
from models.intervention import Intervention
from models.platform_user import PlatformUser
from operations.lookup import find_platform_user
from runtime.database import Database
from runtime.signed_address import signed_name
from runtime.version import VERSION
from worker.channels import Message
from worker.channels.text.calendar_event import PRODUCT, calendar_event
from worker.channels.text.locale import ReaderLocale
from worker.channels.text.message_text import MAX_NAME_LENGTH, booking_details, booking_title
from worker.channels.text.sanitize import one_line
from worker.channels.text.time_range import TimeRange
from worker.channels.text.translations import Translation

CALENDAR_PATH = "/calendar"
SALT = b"meetergo-inbox.calendar"
"""Salt of the key derived from WEBHOOK_KEYS, so that a webhook address opens no calendar."""
PAST = timedelta(days=30)
"""How long a booking stays in the feed after its start."""
MAX_EVENTS = 1_000
MAX_BYTES = 2 * 1024 * 1024
"""Maximum size of the file; 1,000 typical events take a quarter of it. The latest bookings are left out first."""
MAX_DESCRIPTION_LENGTH = 2_000
"""Maximum length of an event's description, in characters: guests decide how long their names are."""
REFRESH_INTERVAL = timedelta(minutes=15)
"""Refresh interval suggested to calendar programs. Google ignores it and refreshes every few hours."""
COLUMNS = (
    Booking.id,
    Booking.revision,
    Booking.updated_at,
    Booking.status,
    Booking.starts_at,
    Booking.ends_at,
    Booking.meeting_name,
    Booking.meeting_link,
    Booking.location,
    Booking.attendees,
    Booking.cancel_reason,
    Booking.cancelled_by,
)


class CalendarSigner:
    """Signs and verifies the tokens of calendars' links.

    Args:
        keys: WEBHOOK_KEYS, oldest to newest; the newest signs, all verify.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = Signer(list(keys), salt=SALT, key_derivation="hmac", digest_method=sha256)

    def path(self, feed_id: str) -> str:
        """Return the path of a feed. It is a secret."""
        return f"{CALENDAR_PATH}/{self._signer.sign(feed_id).decode('ascii')}.ics"

    def feed_id(self, token: str) -> str | None:
        """Return the feed that a token names, or None if it was not signed with these keys. Never raises."""
        return signed_name(self._signer, token)


def share(database: Database, external_id: str, now: datetime, *, by: str, reason: str) -> str:
    """Return the id of a host's feed for its link. It stays the same until it is revoked.

    Args:
        database: the database.
        external_id: the platform's id of the host.
        now: the time, UTC.
        by: name of the operator, who sees the link.
        reason: why.

    Raises:
        OperationError: there is no such host.
    """
    with database.transaction() as session:
        user = find_platform_user(session, external_id, locked=True)
        user.calendar_feed_id = user.calendar_feed_id or secrets.token_urlsafe(16)
        what = _reason(external_id, reason)
        Intervention.record_act(session, "shared", now, by=by, reason=what, account=user.account)
        return user.calendar_feed_id


def revoke(database: Database, external_id: str, now: datetime, *, by: str, reason: str) -> bool:
    """Revoke a host's link; see `share` for the arguments.

    Returns:
        Whether there was a link.

    Raises:
        OperationError: there is no such host.
    """
    with database.transaction() as session:
        user = find_platform_user(session, external_id, locked=True)
        if user.calendar_feed_id is None:
            return False
        user.calendar_feed_id = None
        what = _reason(external_id, reason)
        Intervention.record_act(session, "unshared", now, by=by, reason=what, account=user.account)
        return True


def _reason(external_id: str, reason: str) -> str:
    return f"calendar of host {external_id}{f': {reason}' if reason else ''}"


@dataclass(frozen=True)
class CalendarFeed:
    """The host and the bookings in one host's feed.

    Attributes:
        host: the host, as messages see it.
        rows: the bookings that have a time, by start.
    """

    host: dict[str, Any]
    rows: Sequence[Row[Any]]

    @classmethod
    def find(cls, session: Session, feed_id: str, now: datetime) -> "CalendarFeed | None":
        """Return the feed with this id; None if there is none, for example because it was revoked.

        Beyond MAX_EVENTS the bookings that are furthest in the future are left out.
        """
        user = PlatformUser.by_calendar_feed_id(session, feed_id)
        if user is None:
            return None
        rows = {row.id: row for row in _bookings(session, Booking.platform_user_id == user.id, now)}
        if user.meetergo_user_id:
            shared = and_(Booking.account == user.account, Booking.is_shared_with(session, user.meetergo_user_id))
            rows |= {row.id: row for row in _bookings(session, shared, now)}
        first = sorted(rows.values(), key=lambda row: (row.starts_at, row.id))[:MAX_EVENTS]
        return cls(user.to_dict(), first)

    @property
    def digest(self) -> str:
        """Identifies the content: it changes whenever the file does."""
        state = [VERSION, sorted(self.host.items()), *((row.id, row.revision, row.updated_at) for row in self.rows)]
        return sha256(repr(state).encode("utf-8", "replace")).hexdigest()[:32]

    @property
    def modified_at(self) -> datetime | None:
        """When the newest of these bookings changed, UTC. A booking that leaves the feed does not advance it."""
        return max((row.updated_at for row in self.rows), default=None)

    def to_ical(self) -> bytes:
        """Return the iCalendar file, with the texts of the host's mails."""
        translation = ReaderLocale.of(self.host).translation
        host = one_line(self.host["name"], MAX_NAME_LENGTH)
        name = f"{translation.calendar}: {host}" if host else translation.calendar
        calendar = Calendar({"PRODID": PRODUCT, "VERSION": "2.0"})
        # Explicit types: the library does not escape the values of properties that it does not know.
        calendar.add("NAME", vText(name))
        calendar.add("X-WR-CALNAME", vText(name))
        calendar.add("REFRESH-INTERVAL", vDuration(REFRESH_INTERVAL), {"VALUE": "DURATION"})
        calendar.add("X-PUBLISHED-TTL", vDuration(REFRESH_INTERVAL))
        head, end, _ = calendar.to_ical().partition(b"END:VCALENDAR")
        size, parts = len(head) + len(end), list[bytes]()
        for event in self._events(translation):
            part = event.to_ical()
            size += len(part)
            if size > MAX_BYTES:
                break
            parts.append(part)
        return b"".join([head, *(parts or [_utc().to_ical()]), end, b"\r\n"])

    def _events(self, translation: Translation) -> Iterator[Event]:
        for row in self.rows:
            times = {name: time.isoformat() for name in ("starts_at", "ends_at") if (time := getattr(row, name))}
            booking = {**row._mapping, "ends_at": None, **times}
            period = TimeRange.of(booking)
            if period:
                yield self._event(booking, period, row.updated_at, translation)

    def _event(
        self, booking: dict[str, Any], period: TimeRange, updated_at: datetime, translation: Translation
    ) -> Event:
        is_cancelled = booking["status"] == "cancelled"
        kind: NotificationKind = "cancelled" if is_cancelled else "created"
        message = Message("", kind, booking, None, self.host, "", updated_at)
        title = booking_title(booking, translation)
        event = calendar_event(
            booking,
            period,
            updated_at,
            # Outlook shows a cancelled event like any other, as free time.
            title=f"{translation.subject['cancelled']}: {title}" if is_cancelled else title,
            details=booking_details(message, translation),
            is_cancelled=is_cancelled,
            max_description=MAX_DESCRIPTION_LENGTH,
        )
        event.LAST_MODIFIED = updated_at
        if is_cancelled:
            event.transparency = TRANSP.TRANSPARENT
        return event


def _bookings(session: Session, condition: ColumnElement[bool], now: datetime) -> Sequence[Row[Any]]:
    query = select(*COLUMNS).where(condition, Booking.starts_at >= now - PAST)
    return session.execute(query.order_by(Booking.starts_at, Booking.id).limit(MAX_EVENTS)).all()


def _utc() -> Timezone:
    """Return a time zone for a calendar without events: RFC 5545 requires at least one component."""
    standard = TimezoneStandard()
    standard.DTSTART = datetime(1970, 1, 1)  # noqa: DTZ001 - local time, as RFC 5545 requires
    standard.TZOFFSETFROM = standard.TZOFFSETTO = timedelta()
    zone = Timezone()
    zone.add("TZID", "Etc/UTC")
    zone.add_component(standard)
    return zone
