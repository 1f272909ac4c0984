"""Find misspelt settings in `.env`, in which a platform may keep variables of its own, too."""

from collections.abc import Iterator

import structlog

from runtime import env_file
from runtime.env_file import UnusableFile
from runtime.settings import FILE_SUFFIX, SETTING_NAMES

MIN_SIMILARITY = 0.9
"""As difflib's ratio. `MAIL_COLOUR` reaches it; `APP_PORT`, `MAIL_HOST` and `TEST_DATABASE_URL` do not."""

log = structlog.get_logger()


def misspelt_settings() -> dict[str, str]:
    """Return misspelt names in `.env` -> the setting that is probably meant, unless that one is set."""
    try:
        names, given = env_file.read_env_file(env_file.ENV_FILE).values, env_file.environment(env_file.ENV_FILE)
    except UnusableFile:
        return {}
    found = {name: meant for name in names if (meant := _nearest_setting(name))}
    is_set = {name.removesuffix(FILE_SUFFIX) for name, value in given.items() if value}
    return {name: meant for name, meant in found.items() if meant.removesuffix(FILE_SUFFIX) not in is_set}


def warn_of_misspelt_settings() -> None:
    """Log each misspelt setting. Each process calls it once, at its start."""
    for name, meant in misspelt_settings().items():
        log.warning("setting.unknown", name=name, meant=meant)


def _nearest_setting(name: str) -> str | None:
    upper = name.upper()
    base = upper.removesuffix(FILE_SUFFIX)
    if base in SETTING_NAMES:
        return None
    return next((f"{near}{upper[len(base) :]}" for near in _similar(base)), None)


def _similar(name: str) -> Iterator[str]:
    from difflib import get_close_matches  # late: most files hold settings only

    yield from get_close_matches(name, SETTING_NAMES, 1, MIN_SIMILARITY)
    yield from (each for each in SETTING_NAMES if sorted(each) == sorted(name))
