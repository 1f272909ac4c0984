"""The screens, in the order of the navigation."""

from dashboard.access import ScreenBlueprint
from dashboard.screens import deliveries, errors, health, login, people, preferences, runs

SCREENS: tuple[ScreenBlueprint, ...] = (
    deliveries.screen,
    errors.screen,
    runs.screen,
    people.screen,
    login.screen,
    preferences.screen,
    health.screen,
)
