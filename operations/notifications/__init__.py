"""What an operator can do with notifications: list them, and preview mails."""
