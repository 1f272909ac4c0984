"""The screens, in the order of the navigation."""

from dashboard.access import ScreenBlueprint
from dashboard.screens import deliveries, health, login, preferences

SCREENS: tuple[ScreenBlueprint, ...] = (deliveries.screen, login.screen, preferences.screen, health.screen)
