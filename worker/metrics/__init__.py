"""Metrics for Prometheus: counters of each attempt, and gauges of the current state."""
