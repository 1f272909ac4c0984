"""Types of options: durations, and paths from the folder where the command was typed."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import click


class DurationParam(click.ParamType[timedelta]):
    """A duration: 30s, 10m, 24h, 2d."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> timedelta:
        """Convert to a timedelta."""
        from operations.filters import AGE, UNITS

        if isinstance(value, timedelta):
            return value
        found = AGE.fullmatch(value)
        if not found:
            self.fail(f"'{value}' is not a duration: write 30s, 10m, 24h or 2d", param, context)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


DURATION = DurationParam()

CALLED_FROM = "INBOX_CALLED_FROM"
"""The variable with the folder where the command was typed: bin/inbox changes to another before Python starts."""


class CallersPath(click.Path):
    """A path from the folder where the command was typed."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Resolve the path from that folder, and check it."""
        return super().convert(Path(os.environ.get(CALLED_FROM, ""), value), param, context)
