"""Commands for bookings, free times and calendars."""
