"""What operators see of deliveries: search, one delivery, error groups, what is happening now."""
