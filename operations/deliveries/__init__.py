"""What operators see of deliveries: search, one delivery, error groups, and the tail of events."""
