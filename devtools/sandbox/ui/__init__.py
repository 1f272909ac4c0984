"""The developer page, for booking, moving and cancelling."""
