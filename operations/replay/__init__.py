"""Replay of deliveries: select them, show what would change, and run it."""
