"""What an operator can do with bookings: search them, and compare one with meetergo's."""
