"""What the provider defines: wire formats and their events, and the client of its API."""
