"""PostgreSQL only: adaptations of its driver, and poolers in front of it."""
