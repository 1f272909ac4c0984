"""The door: authenticate, store, ring, acknowledge."""
