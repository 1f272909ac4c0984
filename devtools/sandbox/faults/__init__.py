"""Fault injection in deliveries and in the API."""
