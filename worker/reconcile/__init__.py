"""Reconciliation: find differences between local and provider bookings, and ingest them as deliveries."""
