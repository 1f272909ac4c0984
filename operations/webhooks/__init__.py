"""Webhook registrations at meetergo: addresses, registration, rotation."""
