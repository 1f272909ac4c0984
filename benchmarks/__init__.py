"""Benchmarks: compare everything in one run. `make bench` writes docs/performance.md."""
