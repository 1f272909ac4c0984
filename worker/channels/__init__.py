"""Channels: the ways to tell somebody, each named by a URL."""

from worker.channels.broken import BrokenChannel
from worker.channels.channel import Channel, Message
from worker.channels.registry import UnusableChannel, open_channel

__all__ = ["BrokenChannel", "Channel", "Message", "UnusableChannel", "open_channel"]
