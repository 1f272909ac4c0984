"""Commands for bookings: list, show, refresh, reconcile, book."""
