"""`python -m console`: the operators' commands."""

import logging

import click

from console.api import api
from console.book import book
from console.commands import COMMANDS
from console.meeting_types import meeting_types
from console.slots import slots
from console.templates import templates
from console.users import users
from console.webhook import webhook
from models import logs

PROVIDER = [api, webhook, users, meeting_types, templates, slots, book]

cli = click.Group("console", commands=[*COMMANDS, *PROVIDER], help="The operators' desk of meetergo-inbox.")

if __name__ == "__main__":
    logs.configure()
    logging.getLogger("meetergo.api").setLevel(logging.WARNING)  # what it repeats is its own business
    cli(prog_name="python -m console")
