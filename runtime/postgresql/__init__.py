"""What is PostgreSQL's alone: what its driver is taught, and poolers in front of it."""
