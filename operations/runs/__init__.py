"""Runs over many rows: planned, started with a reason, done in chunks by the scheduler, resumable and cancellable."""
