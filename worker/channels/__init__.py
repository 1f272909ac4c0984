"""Channels: the ways to send a notification, each configured by a URL."""

from worker.channels.base import Channel, Message, Unresponsive
from worker.channels.invalid import InvalidChannel
from worker.channels.registry import UnusableChannel, open_channel
from worker.channels.status import TemporaryRefusal

__all__ = [
    "Channel",
    "InvalidChannel",
    "Message",
    "TemporaryRefusal",
    "Unresponsive",
    "UnusableChannel",
    "open_channel",
]
