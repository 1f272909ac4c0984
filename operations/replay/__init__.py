"""Replay: which deliveries, what it would change, and doing it."""
