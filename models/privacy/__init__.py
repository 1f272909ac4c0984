"""Privacy: where a person's data is, its erasure, its retention, and its encryption with a newer key."""
