"""Arguments and options shared by several commands."""

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

HOST_ARGUMENT = click.argument("external_id", metavar="EXTERNAL_ID")

BOOKING_ROOT_OPTION = click.option(
    "--booking-root",
    metavar="URL",
    help="Root of public pages, such as https://cal.meetergo.com, for users whose booking URL meetergo "
    "does not return.",
)


def options(*each: Decorator) -> Decorator:
    """Return a decorator that adds several options to a command, in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(each):
            command = option(command)
        return command

    return add
