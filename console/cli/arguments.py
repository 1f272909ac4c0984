"""Arguments and options shared by several commands."""

import click

HOST_ARGUMENT = click.argument("external_id", metavar="EXTERNAL_ID")

BOOKING_ROOT_OPTION = click.option(
    "--booking-root",
    metavar="URL",
    help="Root of public pages, such as https://cal.meetergo.com, for users whose booking URL meetergo "
    "does not return.",
)
