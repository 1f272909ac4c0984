"""Channels: the ways to tell somebody, each named by a URL."""

from worker.channels.answer import Refused
from worker.channels.broken import BrokenChannel
from worker.channels.channel import Channel, Message, Unresponsive
from worker.channels.registry import UnusableChannel, open_channel

__all__ = ["BrokenChannel", "Channel", "Message", "Refused", "Unresponsive", "UnusableChannel", "open_channel"]
