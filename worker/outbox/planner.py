"""The planner: decide who is notified of a change and by which channels. It creates rows and sends nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.account import DEFAULT
from models.account_cache import Accounts, AccountsUnknown
from models.booking import TIME_COLUMNS, Booking, BookingChange, NotificationKind
from models.notification import Notification
from models.platform_user import HostLinked, HostResolver, PlatformUser
from runtime.errors import Permanent
from worker.channels import Channel, InvalidChannel, Message, UnusableChannel, open_channel
from worker.settings import WorkerSettings

BATCH = 500
ENDPOINTS = frozenset({"http", "https"})
"""Channels that reach the platform itself, by a signed POST."""
MAX_LISTED = 100
"""Maximum number of bookings listed in a summary; beyond it only their number is given."""
LISTED_COLUMNS = ("id", "status", "starts_at", "ends_at", "meeting_type_id", "meeting_name")
"""Columns of a booking in a summary. No attendee data, which would have to be found when an attendee is erased."""


@dataclass(frozen=True)
class Subscriber:
    """A person or place that is notified of a booking.

    Attributes:
        channel: the channel to use.
        host: the host to notify; for a shared place the booking's host, if known.
    """

    channel: Channel
    host: PlatformUser | None


class RoutedNotification(NamedTuple):
    """A notification and the channel to send it by, or the reason why it cannot be sent."""

    notification: Notification
    channel: Channel | Exception


Channels = dict[str, Channel]
"""Fingerprint -> channel."""
Subscribers = dict[tuple[str, str], Subscriber]
"""(Channel fingerprint, recipient) -> subscriber. Two hosts who share a place are notified there once."""


class NotificationPlanner:
    """Plans notifications. Each platform user's own channels apply, else the default channels.

    Args:
        settings: the default channels, and the settings that channels need.
        accounts: the accounts, which may have default channels of their own.

    Raises:
        UnusableChannel: a default channel cannot be used.
    """

    def __init__(self, settings: WorkerSettings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts
        self._default = {channel_fingerprint(url): open_channel(url, settings) for url in settings.notify_default}

    def rows_for(
        self,
        session: Session,
        change: BookingChange,
        host_resolver: HostResolver | None = None,
        unwritten: Sequence[dict[str, Any]] = (),
    ) -> Iterator[dict[str, Any]]:
        """Yield the notifications for a change: first for hosts who no longer have the booking, then for all others.

        Args:
            session: session of the transaction that made the change.
            change: the change; its booking must not have changed further.
            host_resolver: a resolver that has prefetched the hosts; None to look them up.
            unwritten: rows for earlier changes that are not inserted yet.

        Yields:
            Rows for `Notification.insert_new`.
        """
        booking, was = change.booking, change.previous
        host_resolver = host_resolver or HostResolver(session, booking.account)
        default = self._default_channels(booking.account)
        now = self._subscribers(host_resolver.known_hosts(booking.host_ids, booking.platform_user_id), default)
        before = self._former_subscribers(session, booking, was, host_resolver, unwritten) if was else now
        row = partial(_row, booking, now=change.at, delivery_id=change.delivery_id, is_late=change.is_late)
        if was and was["status"] == "confirmed":
            payload = _handover_payload(change, was) if booking.status == "confirmed" else _payload(change)
            for key, subscriber in before.items():
                # The booking may have had an owner whose row was deleted: then no shared place was told of it.
                if key not in now and (change.kind != "linked" or _announced(session, [booking.id], *key, unwritten)):
                    yield row("cancelled", key, subscriber, payload)
        for key, subscriber in now.items():
            for kind in _kinds_for(change, subscriber, is_new=key not in before):
                yield row(kind, key, subscriber, _payload(change))

    def rows_for_linked_host(self, session: Session, linked: HostLinked) -> Iterator[dict[str, Any]]:
        """Yield the notifications for a newly linked host: about a single booking, or a summary of several.

        Covers only bookings that this reader was not notified of: most shared places were notified before. A host who
        was, by the same mapping earlier, is told what was not said while there was none.
        """
        default = self._default_channels(linked.user.account)
        for key, subscriber in self._own_subscribers(linked.user, default).items():
            yield from _missed_rows(session, linked, key, subscriber)
        for key, subscriber in self._subscribers([linked.user], default).items():
            announced = _announced(session, linked.booking_ids, *key)
            unannounced = [booking_id for booking_id in linked.booking_ids if booking_id not in announced]
            if unannounced:
                yield _linked_host_row(session, linked, unannounced, key, subscriber)

    def rows_to_send_again(
        self, booking: Booking, host_resolver: HostResolver, version: str, now: datetime
    ) -> Iterator[dict[str, Any]]:
        """Yield notifications that tell the platform's endpoints of a booking as if it were new to them.

        Only signed POSTs: people are not notified twice.

        Args:
            booking: the booking, as it is.
            host_resolver: finds its hosts.
            version: identifies the occasion: a new one creates new messages, a repeated one creates none.
            now: the time, UTC.
        """
        kind: NotificationKind = "cancelled" if booking.status == "cancelled" else "created"
        payload = {"booking": _booking_payload(booking, booking.public_columns()), "before": None, "again": True}
        hosts = host_resolver.known_hosts(booking.host_ids, booking.platform_user_id)
        subscribers = self._subscribers(hosts, self._default_channels(booking.account))
        for key, subscriber in subscribers.items():
            if subscriber.channel.name in ENDPOINTS:
                yield _row(booking, kind, key, subscriber, payload, now=now, version=version)

    def route(self, session: Session, notifications: Sequence[Notification]) -> Sequence[RoutedNotification]:
        """Pair notifications with their channels, and bring their summaries up to date."""
        ids = {each.platform_user_id for each in notifications} - {None}
        with_own = select(PlatformUser).where(PlatformUser.id.in_(ids), PlatformUser.channels.is_not(None))
        users = {user.id: user for user in session.scalars(with_own)} if ids else {}
        routed = list[RoutedNotification]()
        for each in notifications:
            each.leave_out_superseded(session)
            try:
                channel: Channel | Exception = self.channel_for(each, users.get(each.platform_user_id or 0))
            except Exception as error:
                channel = error
            routed.append(RoutedNotification(each, channel))
        return routed

    def channel_for(self, notification: Notification, user: PlatformUser | None) -> Channel:
        """Return the channel for which a notification was created.

        Raises:
            Permanent: the channel is no longer configured.
        """
        default = self._default_channels(notification.account)
        channel = self._channels(user, default).get(notification.fingerprint) or default.get(notification.fingerprint)
        if channel is None:
            raise Permanent("the channel is not configured any more")
        return channel

    def reroute(self, session: Session, notification: Notification) -> None:
        """Update a dead notification for a replay: same reader, current form of the channel.

        If its channel is no longer configured, use one of the reader's current channels that lacks this notification.
        """
        user = session.get(PlatformUser, notification.platform_user_id) if notification.platform_user_id else None
        default = self._default_channels(notification.account)
        channels = self._channels(user, default)
        fingerprint = notification.fingerprint
        if fingerprint not in channels and fingerprint not in default:
            already_used = notification.notified_fingerprints(session)
            fingerprint = next((each for each in channels if each not in already_used), fingerprint)
        channel = channels.get(fingerprint) or default.get(fingerprint)
        recipient = _recipient(channel, user) if channel else None
        if channel and recipient:
            notification.redirect(fingerprint=fingerprint, channel=channel.name, recipient=recipient)

    def _default_channels(self, account: str) -> Channels:
        """Return the default channels of an account: its own, else those of the settings.

        Raises:
            AccountsUnknown: it is not known which these are.
        """
        if account == DEFAULT:
            return self._default
        config = self._accounts.get(account)
        if config is None and not self._accounts.is_current:
            raise AccountsUnknown()
        return (
            self._default
            if config is None or config.channels is None
            else _open_all([*config.channels], self._settings)
        )

    def _former_subscribers(
        self,
        session: Session,
        booking: Booking,
        was: Mapping[str, Any],
        host_resolver: HostResolver,
        unwritten: Sequence[dict[str, Any]],
    ) -> Subscribers:
        """Return who knows the booking as it was before a change."""
        default = self._default_channels(booking.account)
        hosts = host_resolver.known_hosts(was["host_ids"], was["platform_user_id"])
        linked = [host for host in hosts if host.is_linked_to(was["host_ids"])]
        is_ownerless = was["platform_user_id"] is None or not hosts  # its row may be gone
        subscribers = self._subscribers(linked, default) if linked or is_ownerless else {}
        mapped = [host for host in hosts if host not in linked]  # perhaps after the booking's last change
        for key, subscriber in (self._subscribers(mapped, default) if mapped else {}).items():
            if key not in subscribers and _announced(session, [booking.id], *key, unwritten):
                subscribers[key] = subscriber
        return subscribers

    def _subscribers(self, hosts: Sequence[PlatformUser], default: Channels) -> Subscribers:
        """Map hosts to subscribers: each host by their own or the personal default channels, shared channels once."""
        subscribers: Subscribers = {}
        for host in hosts:
            subscribers |= {
                key: subscriber
                for key, subscriber in self._own_subscribers(host, default).items()
                if key not in subscribers
            }
        by_default = [host for host in hosts if host.channels is None]
        if by_default or not hosts:
            for fingerprint, channel in default.items():
                if channel.recipient is not None:
                    _add_subscriber(subscribers, fingerprint, channel, by_default[0] if by_default else None)
        return subscribers

    def _own_subscribers(self, host: PlatformUser, default: Channels) -> Subscribers:
        subscribers: Subscribers = {}
        for fingerprint, channel in self._channels(host, default).items():
            if host.channels is not None or channel.recipient is None:
                _add_subscriber(subscribers, fingerprint, channel, host)
        return subscribers

    def _channels(self, user: PlatformUser | None, default: Channels) -> Channels:
        if user is None or user.channels is None:
            return default
        return _open_all(user.channels, self._settings)


def to_message(notification: Notification) -> Message:
    """Convert a notification to the message that its channel sends."""
    return Message(
        id=notification.message_id,
        kind=notification.kind,
        recipient=notification.recipient,
        made_at=notification.created_at,
        **notification.payload,
    )


def channel_fingerprint(url: Any) -> str:
    """Identify a channel without revealing its secrets."""
    text = url if isinstance(url, str) else json.dumps(url)
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _add_subscriber(subscribers: Subscribers, fingerprint: str, channel: Channel, host: PlatformUser | None) -> None:
    recipient = _recipient(channel, host)
    if recipient is not None:
        subscribers.setdefault((fingerprint, recipient), Subscriber(channel, host))


def _recipient(channel: Channel, host: PlatformUser | None) -> str | None:
    """Return the channel's fixed recipient or the host's address; None if the host is unknown or has no address."""
    if channel.recipient is not None:
        return channel.recipient
    return str(host.email) if host and host.email else None


def _kinds_for(change: BookingChange, subscriber: Subscriber, *, is_new: bool) -> Sequence[NotificationKind]:
    """Return the kinds of notification for a reader. Late-linked hosts get a summary: see `rows_for_linked_host`."""
    if is_new:
        is_relevant = change.booking.status == "confirmed" and change.kind != "linked"
        return ["created"] if is_relevant else []
    if change.notification_kinds == ["updated"] and subscriber.channel.recipient is None:
        return []  # another host came or went
    return change.notification_kinds


def _payload(change: BookingChange) -> dict[str, Any]:
    return {"booking": _booking_payload(change.booking, change.columns), "before": change.before}


def _handover_payload(change: BookingChange, was: dict[str, Any]) -> dict[str, Any]:
    """Return the payload for a former host: the booking as they know it, cancelled for them."""
    now = change.columns
    hosts = ("platform_user_id", "host_ids")
    shown = {**was, "status": "cancelled", **{name: now[name] for name in hosts}, "as_of": now["as_of"]}
    before = {"status": was["status"], **{name: was[name] for name in hosts}}
    return {"booking": _booking_payload(change.booking, shown), "before": before, "handed_over": True}


def _booking_payload(booking: Booking, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": booking.id, "account": booking.account, **columns, "revision": booking.revision}


def _row(
    booking: Booking,
    kind: NotificationKind,
    key: tuple[str, str],
    subscriber: Subscriber,
    payload: dict[str, Any],
    *,
    now: datetime,
    version: str | None = None,
    delivery_id: str | None = None,
    is_late: bool = False,
) -> dict[str, Any]:
    """Build a row for `Notification.insert_new`; the version is the booking's revision if none is given."""
    fingerprint, recipient = key
    return Notification.row_for(
        version=version or str(booking.revision),
        is_late=is_late,
        now=now,
        booking_id=booking.id,
        account=booking.account,
        platform_user_id=subscriber.host and subscriber.host.id,
        delivery_id=delivery_id,
        kind=kind,
        channel=subscriber.channel.name,
        recipient=recipient,
        fingerprint=fingerprint,
        payload={**payload, "host": subscriber.host.to_dict() if subscriber.host else None},
    )


def _announced(
    session: Session,
    booking_ids: Sequence[str],
    fingerprint: str,
    recipient: str,
    unwritten: Sequence[dict[str, Any]] = (),
) -> set[str]:
    """Return the bookings whose latest notification to this recipient, sent, pending or unwritten, announces them."""
    to_recipient = (row for row in unwritten if (row["fingerprint"], row["recipient"]) == (fingerprint, recipient))
    kinds: dict[str, str] = {row["booking_id"]: row["kind"] for row in to_recipient if row["booking_id"] in booking_ids}
    written = [booking_id for booking_id in booking_ids if booking_id not in kinds]
    for start in range(0, len(written), BATCH):
        kinds |= _latest(session, Notification.kind, written[start : start + BATCH], fingerprint, recipient)
    return {booking_id for booking_id, kind in kinds.items() if kind != "cancelled"}


def _latest(
    session: Session, column: InstrumentedAttribute[Any], booking_ids: Sequence[str], fingerprint: str, recipient: str
) -> dict[str, Any]:
    """Return a column of the latest notification of each booking to this recipient, summaries apart."""
    query = select(Notification.booking_id, column).where(
        Notification.booking_id.in_(booking_ids),
        Notification.fingerprint == fingerprint,
        Notification.recipient == recipient,
        Notification.kind != "summary",
    )
    return {row.booking_id: row[1] for row in session.execute(query.order_by(Notification.id))}


def _missed_rows(
    session: Session, linked: HostLinked, key: tuple[str, str], subscriber: Subscriber
) -> Iterator[dict[str, Any]]:
    """Yield that bookings were rescheduled or cancelled since this host was last notified of them."""
    ids = [*linked.booking_ids, *linked.cancelled_ids]
    for start in range(0, len(ids), BATCH):
        payloads = _latest(session, Notification.payload, ids[start : start + BATCH], *key)
        known = {booking_id: payload["booking"] for booking_id, payload in payloads.items()}
        for booking in Booking.by_ids(session, known).values():
            was, now = known[booking.id], booking.public_columns()
            before = {name: was[name] for name in ("status", *TIME_COLUMNS) if was.get(name, now[name]) != now[name]}
            if before and was.get("status") == "confirmed":
                payload = {"booking": _booking_payload(booking, now), "before": before}
                kind: NotificationKind = "cancelled" if booking.status == "cancelled" else "rescheduled"
                yield _row(booking, kind, key, subscriber, payload, now=linked.at, delivery_id=linked.delivery_id)


def _linked_host_row(
    session: Session,
    linked: HostLinked,
    booking_ids: Sequence[str],
    key: tuple[str, str],
    subscriber: Subscriber,
) -> dict[str, Any]:
    ids = booking_ids[:MAX_LISTED]
    found = Booking.by_ids(session, ids)
    bookings = [found[each] for each in ids if each in found]
    first = bookings[0]
    row = partial(_row, first, key=key, subscriber=subscriber, now=linked.at, delivery_id=linked.delivery_id)
    if len(booking_ids) == 1:
        return row(kind="created", payload={"booking": _booking_payload(first, first.public_columns()), "before": None})
    listed = [
        {name: _booking_payload(each, each.public_columns())[name] for name in LISTED_COLUMNS} for each in bookings
    ]
    payload = {
        "booking": {"id": first.id, "account": first.account},
        "before": None,
        "bookings": listed,
        "total": len(booking_ids),
    }
    times = (f"{each['id']} {each['starts_at']} {each['ends_at']}" for each in listed)
    version = sha256("\n".join([*sorted(booking_ids), *times]).encode()).hexdigest()
    return row(kind="summary", payload=payload, version=version)


def _open_all(urls: Any, settings: WorkerSettings) -> Channels:
    """Open a user's channels. One that cannot be opened must not stop the booking from being updated."""
    if not isinstance(urls, list):
        return {channel_fingerprint(urls): InvalidChannel("platform_users.channels is not a list of URLs")}
    return {channel_fingerprint(url): _open(url, settings) for url in urls}


def _open(url: Any, settings: WorkerSettings) -> Channel:
    if not isinstance(url, str):
        return InvalidChannel("platform_users.channels holds something that is not a URL")
    try:
        return open_channel(url, settings)
    except UnusableChannel as error:
        return InvalidChannel(str(error.__cause__ or error), url)
    except Exception as error:  # a channel library may raise anything
        return InvalidChannel(f"a channel in platform_users.channels cannot be opened ({type(error).__name__})", url)
