"""The inbox: applies stored deliveries to bookings."""
