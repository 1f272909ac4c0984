"""Helpers of the secrecy test: planted markers, and hostile services."""
