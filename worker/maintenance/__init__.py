"""Maintenance tasks of the scheduler: sweep, recovery, alerts, and RQ's failed-job registry."""
