"""The announcer: who hears of a change, and by which channels. It owes; it does not send."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from models.booking import BookingChange, NewsKind
from models.failures import Permanent
from models.notification import Notification
from models.platform_user import PlatformUser
from worker.channels import BrokenChannel, Channel, Message, UnusableChannel, open_channel
from worker.settings import WorkerSettings


class Announcer:
    """Knows the channels: each platform user's own, else the default of all.

    Args:
        settings: the default channels, and what the channels need.

    Raises:
        UnusableChannel: a default channel cannot be used.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._default = {fingerprint(url): open_channel(url, settings) for url in settings.notify_default}

    def owed(self, session: Session, change: BookingChange) -> Iterator[dict[str, Any]]:
        """What is owed for a change: rows for `Notification.owe`, in the transaction that made it."""
        owner = change.booking.platform_user_id
        user = session.get(PlatformUser, owner) if owner else None
        for kind, mark, channel in self._audience(change, user):
            row = self._row(change, kind, user, mark, channel)
            if row:
                yield row

    def channel_of(self, notification: Notification, user: PlatformUser | None) -> Channel:
        """The channel that a notification was written for.

        Raises:
            Permanent: it is not configured any more.
        """
        channel = self._channels(user).get(notification.fingerprint) or self._default.get(notification.fingerprint)
        if channel is None:
            raise Permanent("the channel is not configured any more")
        return channel

    def _audience(self, change: BookingChange, user: PlatformUser | None) -> Iterator[tuple[NewsKind, str, Channel]]:
        """A host who takes over a booking hears that there is one; who always hears, heard it already."""
        channels = self._channels(user)
        for kind in change.news:
            yield from ((kind, mark, channel) for mark, channel in channels.items())
        if change.has_new_owner and change.booking.status == "confirmed" and "created" not in change.news:
            own = bool(user and user.channels)
            yield from (("created", mark, channel) for mark, channel in channels.items() if own or channel.is_personal)

    def _channels(self, user: PlatformUser | None) -> dict[str, Channel]:
        if user is None or user.channels is None:
            return self._default
        return _opened(user.channels, self._settings)

    def _row(
        self, change: BookingChange, kind: NewsKind, user: PlatformUser | None, mark: str, channel: Channel
    ) -> dict[str, Any] | None:
        host, booking = user.describe() if user else None, change.booking
        recipient = channel.recipient(host)
        if recipient is None:
            return None
        seen = {"id": booking.id, **booking.seen(), "revision": booking.revision}
        return Notification.owed(
            version=booking.version,
            now=change.at,
            booking_id=booking.id,
            platform_user_id=user and user.id,
            delivery_id=change.delivery_id,
            kind=kind,
            channel=channel.name,
            recipient=recipient,
            fingerprint=mark,
            payload={"booking": seen, "before": change.before, "host": host},
        )


def message_of(notification: Notification) -> Message:
    """The notification as its channel sends it."""
    return Message(
        id=notification.message_id,
        kind=notification.kind,
        recipient=notification.recipient,
        made_at=notification.created_at,
        **notification.payload,
    )


def fingerprint(url: str) -> str:
    """Tells channels apart without their secrets."""
    return sha256(url.encode()).hexdigest()


def _opened(urls: Sequence[str], settings: WorkerSettings) -> dict[str, Channel]:
    """A user's channels. One that cannot be opened must not keep the booking from being right."""
    channels = {}
    for url in urls:
        try:
            channels[fingerprint(url)] = open_channel(url, settings)
        except UnusableChannel:
            channels[fingerprint(url)] = BrokenChannel()
    return channels
