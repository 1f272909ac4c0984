"""Faults on purpose, in deliveries and in the API."""
