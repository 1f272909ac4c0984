"""Map a channel URL to its channel: a dict of the built-in channels, and Apprise for the rest."""

from importlib import import_module

from worker.channels.base import Channel
from worker.channels.invalid import SCHEME, check_is_one
from worker.settings import WorkerSettings


class UnusableChannel(ValueError):
    """A channel URL cannot be used; the message names the setting and quotes no secret."""


CHANNELS = {
    "log": "log:LogChannel",
    "mailto": "mail.channel:MailChannel",
    "http": "webhook:WebhookChannel",
    "https": "webhook:WebhookChannel",
}
"""Scheme -> class, imported when first used: the mail libraries alone take a tenth of a worker's start-up time."""


def open_channel(url: str, settings: WorkerSettings) -> Channel:
    """Open the channel that a URL names.

    Raises:
        UnusableChannel: no channel handles the scheme, or a setting that the channel needs is missing.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or not SCHEME.fullmatch(scheme.lower()):
        raise UnusableChannel("a channel is a URL, such as 'log:' or 'mailto:'")
    try:
        check_is_one(url)
        if scheme.lower() not in CHANNELS:
            from worker.channels.apprise import AppriseChannel  # late, as those

            return AppriseChannel.open(url)
        module, _, name = CHANNELS[scheme.lower()].partition(":")
        channel: Channel = getattr(import_module(f"worker.channels.{module}"), name).open(url, settings)
        return channel
    except ValueError as error:
        raise UnusableChannel(f"a channel that starts with '{scheme[:16]}:' cannot be used: {error}") from error
