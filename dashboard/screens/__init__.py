"""The screens, in the order of the navigation."""

from dashboard.access import ScreenBlueprint
from dashboard.screens import (
    audit,
    bookings,
    configuration,
    deliveries,
    health,
    home,
    hosts,
    live,
    login,
    notifications,
    preferences,
    reconcile,
)

SCREENS: tuple[ScreenBlueprint, ...] = (
    home.screen,
    deliveries.screen,
    bookings.screen,
    notifications.screen,
    hosts.screen,
    reconcile.screen,
    live.screen,
    audit.screen,
    configuration.screen,
    login.screen,
    preferences.screen,
    health.screen,
)
