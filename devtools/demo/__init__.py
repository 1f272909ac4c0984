"""The demo: the path from webhook to notification, step by step."""
