"""A stand-in for meetergo: a small server that behaves like its API, to develop and to test against."""
