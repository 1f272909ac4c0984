"""Python runs this first where it is on the path: every logger speaks at DEBUG, unless our code silences it wholly."""

import logging

set_level = logging.Logger.setLevel


def set_level_to_debug(logger: logging.Logger, level: int | str) -> None:
    """The level that was asked for, if that is silence; otherwise the loudest."""
    silent = level in (logging.CRITICAL, "CRITICAL")
    set_level(logger, logging.CRITICAL if silent else logging.DEBUG)


logging.Logger.setLevel = set_level_to_debug  # type: ignore[method-assign] # that is what this file is for
