"""A process: its start, its signals, and its end with its parent."""
