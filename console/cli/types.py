"""The option type for durations."""

from datetime import timedelta
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
