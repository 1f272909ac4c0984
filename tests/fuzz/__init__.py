"""Fuzzing: hundreds of thousands of hostile inputs, the same for the same seed. `make fuzz` runs the long version."""
