"""Secrecy: what the test of it plants, and the hostile world that it drives us through."""
