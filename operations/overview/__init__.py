"""The state of the system at a glance: charts, webhook registrations, settings."""
