"""The provider's language: signed addresses and signatures, wire formats and the events they carry."""
