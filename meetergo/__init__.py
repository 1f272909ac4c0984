"""The provider's language: signed addresses and signatures, wire formats and their events, the client of its API."""
