"""Mail: messages with a calendar invite, by SMTP."""
