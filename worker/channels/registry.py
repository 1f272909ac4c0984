"""Map a channel URL to its channel: a dict of the built-in channels, and Apprise for the rest."""

from collections.abc import Callable

from worker.channels.apprise import AppriseChannel
from worker.channels.base import Channel
from worker.channels.broken import SCHEME
from worker.channels.log import LogChannel
from worker.channels.mail.channel import MailChannel
from worker.channels.webhook import WebhookChannel
from worker.settings import WorkerSettings


class UnusableChannel(ValueError):
    """A channel URL cannot be used; the message names the setting and quotes no secret."""


OPENERS: dict[str, Callable[[str, WorkerSettings], Channel]] = {
    "log": LogChannel.open,
    "mailto": MailChannel.open,
    "http": WebhookChannel.open,
    "https": WebhookChannel.open,
}


def open_channel(url: str, settings: WorkerSettings) -> Channel:
    """Open the channel that a URL names.

    Raises:
        UnusableChannel: no channel handles the scheme, or a setting that the channel needs is missing.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or not SCHEME.fullmatch(scheme.lower()):
        raise UnusableChannel("a channel is a URL, such as 'log:' or 'mailto:'")
    try:
        return OPENERS.get(scheme.lower(), AppriseChannel.open)(url, settings)
    except ValueError as error:
        raise UnusableChannel(f"a channel that starts with '{scheme[:16]}:' cannot be used: {error}") from error
