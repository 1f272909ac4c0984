"""Webhooks sent by the sandbox."""
