"""A process: how it starts, hears signals, and ends with its parent."""
