"""Python runs this first if it is on the path: every logger logs at DEBUG, unless our code silences it completely."""

import logging

set_level = logging.Logger.setLevel


def set_level_to_debug(logger: logging.Logger, level: int | str) -> None:
    """Return the requested level if it silences; otherwise DEBUG."""
    silent = level in (logging.CRITICAL, "CRITICAL")
    set_level(logger, logging.CRITICAL if silent else logging.DEBUG)


logging.Logger.setLevel = set_level_to_debug  # type: ignore[method-assign] # that is what this file is for
