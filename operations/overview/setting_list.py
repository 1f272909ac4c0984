"""Which settings are set, and where. Their values are never returned."""

from dataclasses import dataclass
from typing import Literal

from runtime import env_file
from runtime.env_file import UnusableFile
from runtime.settings import SETTING_NAMES

SettingPlace = Literal["environment", "file"]


@dataclass(frozen=True)
class SettingState:
    """One setting.

    Attributes:
        name: its name.
        place: where this process found it; None if it is not set, so that the default applies.
    """

    name: str
    place: SettingPlace | None


def list_settings() -> list[SettingState]:
    """Return every setting, as this process sees it."""
    try:
        given, alone = env_file.environment(env_file.ENV_FILE), env_file.environment(None)
    except UnusableFile:
        given = alone = env_file.environment(None)
    found: list[SettingState] = []
    for name in sorted(SETTING_NAMES):
        value = given.get(name)
        is_own = bool(alone.get(name)) and alone.get(name) == value
        found.append(SettingState(name, None if not value else "environment" if is_own else "file"))
    return found
