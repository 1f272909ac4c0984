"""A platform that makes lawyers bookable."""
