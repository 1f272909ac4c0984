"""Commands for deliveries and notifications: list, show, replay, ignore."""
