"""What an operator can do with bookings: search them, refresh them, see what a host reads."""
