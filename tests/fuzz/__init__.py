"""Fuzzing: hostile inputs by the hundred thousand, the same for the same seed. `make fuzz` runs the long version."""
