"""Webhooks that the stand-in sends."""
