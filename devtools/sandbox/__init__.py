"""A sandbox that stands in for meetergo: a small server that behaves like its API, for development and tests."""
