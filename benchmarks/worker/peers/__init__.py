"""Other job systems: each has one job per delivery, which calls the same `process_one`."""
