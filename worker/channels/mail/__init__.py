"""Mail: messages with a calendar invite, by SMTP."""

from worker.channels.mail.channel import MailChannel

__all__ = ["MailChannel"]
