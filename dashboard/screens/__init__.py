"""The screens, in the order of the navigation."""

from dashboard.access import ScreenBlueprint
from dashboard.screens import (
    accounts,
    audit,
    bookings,
    configuration,
    deliveries,
    errors,
    health,
    home,
    hosts,
    live,
    login,
    notifications,
    people,
    preferences,
    reconcile,
    runs,
    send_again,
)

SCREENS: tuple[ScreenBlueprint, ...] = (
    home.screen,
    deliveries.screen,
    errors.screen,
    bookings.screen,
    notifications.screen,
    hosts.screen,
    reconcile.screen,
    runs.screen,
    send_again.screen,
    live.screen,
    audit.screen,
    accounts.screen,
    configuration.screen,
    people.screen,
    login.screen,
    preferences.screen,
    health.screen,
)
