"""The peers: each with one job per delivery, that calls the same `process_one`."""
